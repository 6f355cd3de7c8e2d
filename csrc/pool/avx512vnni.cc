// 64 channels at once.
#include <immintrin.h>

#include "../epilogue_avx512.h"
#include "window.h"

namespace bitwright {
namespace {

constexpr int kChannels = 64;
constexpr int kMostBlocks = 16;  // of channels, in one pass over a plane

bool accepts(const PoolParams& p) { return !p.to_float; }

int channel_blocks(const PoolParams& p) { return (p.out.c + kChannels - 1) / kChannels; }

int units(const PoolParams& p) { return p.pool == Pool::global_average ? channel_blocks(p) : p.out.h; }

// Codes of even and odd channels are added up apart, as 16-bit numbers that are emptied into int32 before they overflow.
// Lane i of total[r] is then channel 4 * i + r, so that four codes in int32 are brought together by shifts.
class Sums512 {
 public:
  void add(const uint8_t* codes) {
    __m512i x = _mm512_loadu_si512(codes);
    even_ = _mm512_add_epi16(even_, _mm512_and_si512(x, _mm512_set1_epi16(0xff)));
    odd_ = _mm512_add_epi16(odd_, _mm512_srli_epi16(x, 8));
    if (++pending_ == kMostPending) empty();
  }

  void empty() {
    const __m512i low = _mm512_set1_epi32(0xffff);
    total[0] = _mm512_add_epi32(total[0], _mm512_and_si512(even_, low));
    total[1] = _mm512_add_epi32(total[1], _mm512_and_si512(odd_, low));
    total[2] = _mm512_add_epi32(total[2], _mm512_srli_epi32(even_, 16));
    total[3] = _mm512_add_epi32(total[3], _mm512_srli_epi32(odd_, 16));
    even_ = odd_ = _mm512_setzero_si512();
    pending_ = 0;
  }

  __m512i total[4] = {};

 private:
  static constexpr int kMostPending = 65535 / 255;

  __m512i even_ = _mm512_setzero_si512(), odd_ = _mm512_setzero_si512();
  int pending_ = 0;
};

class Pooler {
 public:
  explicit Pooler(const PoolParams& p)
      : p_(p), table_(p.table), out_zp_(_mm512_set1_ps(p.out_zp)), hi_(_mm512_set1_ps(p.hi)) {}

  void row(const Buffers& at, int y) const {
    for (int x = 0; x < p_.out.w; ++x) {
      uint8_t* out = at.out + y * p_.out.row + x * p_.out.pixel;
      InsideWindow window(p_, y, x);
      for (int c = 0; c < p_.out.c; c += kChannels) {
        if (p_.pool == Pool::max)
          max(window, at.in + c, out, c);
        else
          average(window, at.in + c, p_.m[p_.m_per_pixel ? y * p_.out.w + x : 0], out, c);
      }
    }
  }

  // Row by row, so that what one block leaves of a cache line is there for the next.
  void planes(const Buffers& at, int block, int count) const {
    Sums512 sums[kMostBlocks];
    for (int y = 0; y < p_.in.h; ++y)
      for (int i = 0; i < count; ++i) {
        const uint8_t* in = at.in + y * p_.in.row + (block + i) * kChannels;
        for (int x = 0; x < p_.in.w; ++x) sums[i].add(in + x * p_.in.pixel);
      }
    for (int i = 0; i < count; ++i) store_average(sums[i], p_.in.h * p_.in.w, p_.m[0], at.out, (block + i) * kChannels);
  }

 private:
  void max(const InsideWindow& window, const uint8_t* in, uint8_t* out, int c) const {
    __m512i most = _mm512_setzero_si512();
    window.each(p_, [&](ptrdiff_t offset) { most = _mm512_max_epu8(most, _mm512_loadu_si512(in + offset)); });
    store(most, out, c);
  }

  void average(const InsideWindow& window, const uint8_t* in, float m, uint8_t* out, int c) const {
    Sums512 sums;
    window.each(p_, [&](ptrdiff_t offset) { sums.add(in + offset); });
    store_average(sums, window.rows.count() * window.columns.count(), m, out, c);
  }

  void store_average(Sums512& sums, int count, float m, uint8_t* out, int c) const {
    sums.empty();
    __m512i bytes = _mm512_setzero_si512();
    for (int r = 3; r >= 0; --r) {
      __m512i acc = _mm512_sub_epi32(sums.total[r], _mm512_set1_epi32(count * p_.zp));
      __m512 t = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_set1_ps(m)), out_zp_);
      __m512i code = _mm512_max_epi32(_mm512_cvtps_epi32(_mm512_min_ps(t, hi_)), _mm512_setzero_si512());
      bytes = _mm512_or_si512(_mm512_slli_epi32(bytes, 8), code);
    }
    store(bytes, out, c);
  }

  void store(__m512i codes, uint8_t* out, int c) const {
    if (p_.table) codes = table_.look_up(codes);
    _mm512_mask_storeu_epi8(out + c, first_lanes(p_.out.lanes - c), codes);
  }

  const PoolParams& p_;
  Table512 table_;
  __m512 out_zp_, hi_;
};

void run(const PoolParams& p, const Buffers& at, int begin, int end) {
  Pooler pooler(p);
  if (p.pool != Pool::global_average) {
    for (int y = begin; y < end; ++y) pooler.row(at, y);
    return;
  }
  for (int block = begin; block < end; block += kMostBlocks)
    pooler.planes(at, block, end - block < kMostBlocks ? end - block : kMostBlocks);
}

}  // namespace

const KernelRow<PoolParams> pool_avx512vnni = {"pool, 64 channels", Isa::avx512vnni, accepts, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
