// 64 channels at once.
#include <immintrin.h>

#include "../epilogue_avx512.h"
#include "pooler.h"

namespace bitwright {
namespace {

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

class Vectors512 {
 public:
  static constexpr int kChannels = 64;
  using Codes = __m512i;
  using Sums = Sums512;

  explicit Vectors512(const PoolParams& p)
      : table_(p.table), look_up_(p.table != nullptr), out_zp_(_mm512_set1_ps(p.out_zp)), hi_(_mm512_set1_ps(p.hi)) {}

  static Codes load(const uint8_t* codes) { return _mm512_loadu_si512(codes); }
  static Codes max(Codes a, Codes b) { return _mm512_max_epu8(a, b); }

  Codes average(const Sums& sums, int offset, float m) const {
    __m512i bytes = _mm512_setzero_si512();
    for (int r = 3; r >= 0; --r) {
      __m512i acc = _mm512_add_epi32(sums.total[r], _mm512_set1_epi32(offset));
      __m512 t = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_set1_ps(m)), out_zp_);
      __m512i code = _mm512_max_epi32(_mm512_cvtps_epi32(_mm512_min_ps(t, hi_)), _mm512_setzero_si512());
      bytes = _mm512_or_si512(_mm512_slli_epi32(bytes, 8), code);
    }
    return bytes;
  }

  void store(Codes codes, uint8_t* out, int count) const {
    if (look_up_) codes = table_.look_up(codes);
    _mm512_mask_storeu_epi8(out, first_lanes(count), codes);
  }

 private:
  Table512 table_;
  bool look_up_;
  __m512 out_zp_, hi_;
};

using Pooler512 = Pooler<Vectors512>;

}  // namespace

const KernelRow<PoolParams> pool_avx512vnni = {
    "pool, 64 channels", Isa::avx512vnni, Pooler512::accepts, Pooler512::units, nullptr, nullptr, nullptr, Pooler512::run};

}  // namespace bitwright
