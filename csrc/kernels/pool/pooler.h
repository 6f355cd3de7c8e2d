// The pools, a vector of channels at a time.
#pragma once

#include "kernels/pool/window.h"
#include "kernels/vec/vec.h"

namespace bitwright {
namespace {

// Sums of codes. Those of even and odd channels are added up apart, as 16-bit numbers that are emptied into int32 before they
// overflow. Lane i of total[r] is then channel 4 * i + r, so that four codes in int32 are brought together by shifts:
//
//   codes      channel  0   1   2   3 | 4   5   6   7 | ...
//   even_      0        2      |      4        6      | ...   16 bits each; odd_ has 1, 3, 5, 7
//   total[0]   0               |      4               | ...   32 bits each; total[1] has 1, 5, ..; [2] 2, 6, ..; [3] 3, 7, ..
class PoolSums {
 public:
  void add(Vec::Bytes codes) {
    even_ = Vec::add_words(even_, Vec::low_bytes(codes));
    odd_ = Vec::add_words(odd_, Vec::high_bytes(codes));
    if (++pending_ == kMostPending) empty();
  }

  void empty() {
    total[0] = Vec::add(total[0], Vec::low_words(even_));
    total[1] = Vec::add(total[1], Vec::low_words(odd_));
    total[2] = Vec::add(total[2], Vec::high_words(even_));
    total[3] = Vec::add(total[3], Vec::high_words(odd_));
    even_ = odd_ = Vec::zero();
    pending_ = 0;
  }

  Vec::Ints total[4] = {};

 private:
  static constexpr int kMostPending = 65535 / 255;

  Vec::Ints even_ = Vec::zero(), odd_ = Vec::zero();
  int pending_ = 0;
};

class Pooler {
 public:
  explicit Pooler(const PoolParams& p)
      : p_(p),
        table_(p.table),
        look_up_(p.table != nullptr),
        out_zp_(Vec::splat_float(p.out_zp)),
        hi_(Vec::splat_float(p.hi)) {}

  static int units(const PoolParams& p) {
    return p.pool == Pool::global_average ? (p.out.c + kPoolBlock - 1) / kPoolBlock : p.out.h;
  }

  static void run(const PoolParams& p, const Buffers& at, int begin, int end) {
    Pooler pooler(p);
    if (p.pool != Pool::global_average) {
      for (int y = begin; y < end; ++y) pooler.row(at, y);
      return;
    }
    constexpr int kVectors = kPoolBlock / Vec::kBytes;
    int all = (p.out.c + Vec::kBytes - 1) / Vec::kBytes, stop = end * kVectors < all ? end * kVectors : all;
    if (end - begin == 1) return pooler.planes<kVectors>(at, begin * kVectors, stop - begin * kVectors);
    for (int block = begin * kVectors; block < stop; block += kMostBlocks)
      pooler.planes<kMostBlocks>(at, block, stop - block < kMostBlocks ? stop - block : kMostBlocks);
  }

 private:
  static constexpr int kMostBlocks = 16;  // of channels, in one pass over a plane

  void row(const Buffers& at, int y) const {
    for (int x = 0; x < p_.out.w; ++x) {
      uint8_t* out = at.out + y * p_.out.row + x * p_.out.pixel;
      InsideWindow window(p_, y, x);
      for (int c = 0; c < p_.out.c; c += Vec::kBytes) {
        if (p_.pool == Pool::max)
          max(window, at.in + c, out, c);
        else
          average(window, at.in + c, p_.m[p_.m_per_pixel ? y * p_.out.w + x : 0], out, c);
      }
    }
  }

  // Row by row, so that what one block leaves of a cache line is there for the next.
  template <int kMost>
  void planes(const Buffers& at, int block, int count) const {
    PoolSums sums[kMost];
    for (int y = 0; y < p_.in.h; ++y)
      for (int i = 0; i < count; ++i) {
        const uint8_t* in = at.in + y * p_.in.row + (block + i) * Vec::kBytes;
        PoolSums sum = sums[i];  // in registers
        for (int x = 0; x < p_.in.w; ++x) sum.add(Vec::load(in + x * p_.in.pixel));
        sums[i] = sum;
      }
    for (int i = 0; i < count; ++i) store_average(sums[i], p_.in.h * p_.in.w, p_.m[0], at.out, (block + i) * Vec::kBytes);
  }

  void max(const InsideWindow& window, const uint8_t* in, uint8_t* out, int c) const {
    Vec::Bytes most = {};
    window.each(p_, [&](ptrdiff_t offset) { most = Vec::max(most, Vec::load(in + offset)); });
    store(most, out, c);
  }

  void average(const InsideWindow& window, const uint8_t* in, float m, uint8_t* out, int c) const {
    PoolSums sums;
    window.each(p_, [&](ptrdiff_t offset) { sums.add(Vec::load(in + offset)); });
    store_average(sums, window.rows.count() * window.columns.count(), m, out, c);
  }

  // t = f32(sum - count * zp) * m as it is, or the codes of t + out_zp.
  void store_average(PoolSums& sums, int count, float m, uint8_t* out, int c) const {
    sums.empty();
    const Vec::Ints offset = Vec::splat_int(-count * p_.zp);
    const Vec::Floats factor = Vec::splat_float(m);
    Vec::Floats t[4];
    for (int r = 0; r < 4; ++r) t[r] = Vec::floats(Vec::add(sums.total[r], offset)) * factor;
    if (p_.to_float) return store_floats(t, out, c);
    Vec::Bytes bytes = Vec::zero();
    for (int r = 3; r >= 0; --r)
      bytes = Vec::shifted_in(bytes, Vec::max_ints(Vec::rounded(Vec::min_floats(t[r] + out_zp_, hi_)), Vec::zero()));
    store(bytes, out, c);
  }

  // Lane i of t[r] is channel c + 4 * i + r.
  void store_floats(const Vec::Floats (&t)[4], uint8_t* out, int c) const {
    float lanes[Vec::kLanes], in_order[Vec::kBytes];
    for (int r = 0; r < 4; ++r) {
      Vec::store_floats(lanes, t[r]);
      for (int i = 0; i < Vec::kLanes; ++i) in_order[4 * i + r] = lanes[i];
    }
    int left = p_.out.c - c;
    __builtin_memcpy(out + 4 * c, in_order, sizeof(float) * (left < Vec::kBytes ? left : Vec::kBytes));
  }

  void store(Vec::Bytes codes, uint8_t* out, int c) const {
    if (look_up_) codes = table_.look_up(codes);
    Vec::store(codes, out + c, p_.out.lanes - c);
  }

  const PoolParams p_;  // a copy, which no store of a byte can change
  Vec::Table table_;
  bool look_up_;
  Vec::Floats out_zp_, hi_;
};

}  // namespace
}  // namespace bitwright
