// The pools, whatever the vectors are: `V` says how many channels one has and what is done with them, each instruction set in
// its own file. V::Sums adds up codes, and V::average makes codes of t = f32(sum + offset) * m + zero point.
#pragma once

#include "window.h"

namespace bitwright {
namespace {

template <class V>
class Pooler {
 public:
  explicit Pooler(const PoolParams& p) : p_(p), vectors_(p) {}

  static bool accepts(const PoolParams& p) { return !p.to_float; }

  static int units(const PoolParams& p) {
    return p.pool == Pool::global_average ? (p.out.c + kPoolBlock - 1) / kPoolBlock : p.out.h;
  }

  static void run(const PoolParams& p, const Buffers& at, int begin, int end) {
    Pooler pooler(p);
    if (p.pool != Pool::global_average) {
      for (int y = begin; y < end; ++y) pooler.row(at, y);
      return;
    }
    constexpr int kVectors = kPoolBlock / V::kChannels;
    int all = (p.out.c + V::kChannels - 1) / V::kChannels, stop = end * kVectors < all ? end * kVectors : all;
    if (end - begin == 1) return pooler.template planes<kVectors>(at, begin * kVectors, stop - begin * kVectors);
    for (int block = begin * kVectors; block < stop; block += kMostBlocks)
      pooler.template planes<kMostBlocks>(at, block, stop - block < kMostBlocks ? stop - block : kMostBlocks);
  }

 private:
  static constexpr int kMostBlocks = 16;  // of channels, in one pass over a plane

  void row(const Buffers& at, int y) const {
    for (int x = 0; x < p_.out.w; ++x) {
      uint8_t* out = at.out + y * p_.out.row + x * p_.out.pixel;
      InsideWindow window(p_, y, x);
      for (int c = 0; c < p_.out.c; c += V::kChannels) {
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
    typename V::Sums sums[kMost];
    for (int y = 0; y < p_.in.h; ++y)
      for (int i = 0; i < count; ++i) {
        const uint8_t* in = at.in + y * p_.in.row + (block + i) * V::kChannels;
        for (int x = 0; x < p_.in.w; ++x) sums[i].add(in + x * p_.in.pixel);
      }
    for (int i = 0; i < count; ++i)
      store(average_of(sums[i], p_.in.h * p_.in.w, p_.m[0]), at.out, (block + i) * V::kChannels);
  }

  void max(const InsideWindow& window, const uint8_t* in, uint8_t* out, int c) const {
    typename V::Codes most = {};
    window.each(p_, [&](ptrdiff_t offset) { most = V::max(most, V::load(in + offset)); });
    store(most, out, c);
  }

  void average(const InsideWindow& window, const uint8_t* in, float m, uint8_t* out, int c) const {
    typename V::Sums sums;
    window.each(p_, [&](ptrdiff_t offset) { sums.add(in + offset); });
    store(average_of(sums, window.rows.count() * window.columns.count(), m), out, c);
  }

  typename V::Codes average_of(typename V::Sums& sums, int count, float m) const {
    sums.empty();
    return vectors_.average(sums, -count * p_.zp, m);
  }

  void store(typename V::Codes codes, uint8_t* out, int c) const {
    int left = p_.out.lanes - c;
    vectors_.store(codes, out + c, left < V::kChannels ? left : V::kChannels);
  }

  const PoolParams& p_;
  V vectors_;
};

}  // namespace
}  // namespace bitwright
