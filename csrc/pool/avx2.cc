// 32 channels at once.
#include <immintrin.h>

#include "window.h"

namespace bitwright {
namespace {

constexpr int kChannels = 32;
constexpr int kMostBlocks = 16;  // of channels, in one pass over a plane

bool accepts(const PoolParams& p) { return !p.to_float; }

int channel_blocks(const PoolParams& p) { return (p.out.c + kChannels - 1) / kChannels; }

int units(const PoolParams& p) { return p.pool == Pool::global_average ? channel_blocks(p) : p.out.h; }

__m256i load(const uint8_t* codes) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)); }

// Codes of even and odd channels are added up apart, as 16-bit numbers that are emptied into int32 before they overflow.
// Lane i of total[r] is then channel 4 * i + r, so that four codes in int32 are brought together by shifts.
class Sums256 {
 public:
  void add(const uint8_t* codes) {
    __m256i x = load(codes);
    even_ = _mm256_add_epi16(even_, _mm256_and_si256(x, _mm256_set1_epi16(0xff)));
    odd_ = _mm256_add_epi16(odd_, _mm256_srli_epi16(x, 8));
    if (++pending_ == kMostPending) empty();
  }

  void empty() {
    const __m256i low = _mm256_set1_epi32(0xffff);
    total[0] = _mm256_add_epi32(total[0], _mm256_and_si256(even_, low));
    total[1] = _mm256_add_epi32(total[1], _mm256_and_si256(odd_, low));
    total[2] = _mm256_add_epi32(total[2], _mm256_srli_epi32(even_, 16));
    total[3] = _mm256_add_epi32(total[3], _mm256_srli_epi32(odd_, 16));
    even_ = odd_ = _mm256_setzero_si256();
    pending_ = 0;
  }

  __m256i total[4] = {};

 private:
  static constexpr int kMostPending = 65535 / 255;

  __m256i even_ = _mm256_setzero_si256(), odd_ = _mm256_setzero_si256();
  int pending_ = 0;
};

class Pooler {
 public:
  explicit Pooler(const PoolParams& p) : p_(p), out_zp_(_mm256_set1_ps(p.out_zp)), hi_(_mm256_set1_ps(p.hi)) {}

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
    Sums256 sums[kMostBlocks];
    for (int y = 0; y < p_.in.h; ++y)
      for (int i = 0; i < count; ++i) {
        const uint8_t* in = at.in + y * p_.in.row + (block + i) * kChannels;
        for (int x = 0; x < p_.in.w; ++x) sums[i].add(in + x * p_.in.pixel);
      }
    for (int i = 0; i < count; ++i) store_average(sums[i], p_.in.h * p_.in.w, p_.m[0], at.out, (block + i) * kChannels);
  }

 private:
  void max(const InsideWindow& window, const uint8_t* in, uint8_t* out, int c) const {
    __m256i most = _mm256_setzero_si256();
    window.each(p_, [&](ptrdiff_t offset) { most = _mm256_max_epu8(most, load(in + offset)); });
    store(most, out, c);
  }

  void average(const InsideWindow& window, const uint8_t* in, float m, uint8_t* out, int c) const {
    Sums256 sums;
    window.each(p_, [&](ptrdiff_t offset) { sums.add(in + offset); });
    store_average(sums, window.rows.count() * window.columns.count(), m, out, c);
  }

  void store_average(Sums256& sums, int count, float m, uint8_t* out, int c) const {
    sums.empty();
    __m256i bytes = _mm256_setzero_si256();
    for (int r = 3; r >= 0; --r) {
      __m256i acc = _mm256_sub_epi32(sums.total[r], _mm256_set1_epi32(count * p_.zp));
      __m256 t = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_set1_ps(m)), out_zp_);
      __m256i code = _mm256_max_epi32(_mm256_cvtps_epi32(_mm256_min_ps(t, hi_)), _mm256_setzero_si256());
      bytes = _mm256_or_si256(_mm256_slli_epi32(bytes, 8), code);
    }
    store(bytes, out, c);
  }

  void store(__m256i codes, uint8_t* out, int c) const {
    int count = p_.out.lanes - c < kChannels ? p_.out.lanes - c : kChannels;
    if (count == kChannels && !p_.table) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + c), codes);
      return;
    }
    alignas(32) uint8_t whole[kChannels];
    _mm256_store_si256(reinterpret_cast<__m256i*>(whole), codes);
    for (int i = 0; i < count; ++i) out[c + i] = p_.table ? p_.table[whole[i]] : whole[i];
  }

  const PoolParams& p_;
  __m256 out_zp_, hi_;
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

const KernelRow<PoolParams> pool_avx2 = {"pool, 32 channels", Isa::avx2, accepts, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
