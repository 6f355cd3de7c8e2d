// 32 channels at once.
#include "../epilogue_avx2.h"
#include "pooler.h"

namespace bitwright {
namespace {

// Codes of even and odd channels are added up apart, as 16-bit numbers that are emptied into int32 before they overflow.
// Lane i of total[r] is then channel 4 * i + r, so that four codes in int32 are brought together by shifts.
class Sums256 {
 public:
  void add(const uint8_t* codes) {
    __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
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

class Vectors256 {
 public:
  static constexpr int kChannels = 32;
  using Codes = __m256i;
  using Sums = Sums256;

  explicit Vectors256(const PoolParams& p)
      : table_(p.table, 255), out_zp_(_mm256_set1_ps(p.out_zp)), hi_(_mm256_set1_ps(p.hi)) {}

  static Codes load(const uint8_t* codes) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)); }
  static Codes max(Codes a, Codes b) { return _mm256_max_epu8(a, b); }

  Codes average(const Sums& sums, int offset, float m) const {
    __m256i bytes = _mm256_setzero_si256();
    for (int r = 3; r >= 0; --r) {
      __m256i acc = _mm256_add_epi32(sums.total[r], _mm256_set1_epi32(offset));
      __m256 t = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_set1_ps(m)), out_zp_);
      __m256i code = _mm256_max_epi32(_mm256_cvtps_epi32(_mm256_min_ps(t, hi_)), _mm256_setzero_si256());
      bytes = _mm256_or_si256(_mm256_slli_epi32(bytes, 8), code);
    }
    return bytes;
  }

  void store(Codes codes, uint8_t* out, int count) const {
    __m256i found[] = {codes};
    if (table_) table_.look_up(found);
    if (count == kChannels) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), found[0]);
    alignas(32) uint8_t whole[kChannels];
    _mm256_store_si256(reinterpret_cast<__m256i*>(whole), found[0]);
    __builtin_memcpy(out, whole, count);
  }

 private:
  Table256 table_;
  __m256 out_zp_, hi_;
};

using Pooler256 = Pooler<Vectors256>;

}  // namespace

const KernelRow<PoolParams> pool_avx2 = {
    "pool, 32 channels", Isa::avx2, Pooler256::accepts, Pooler256::units, nullptr, nullptr, nullptr, Pooler256::run};

}  // namespace bitwright
