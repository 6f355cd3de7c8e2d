// VPMADDUBSW adds two products in 16 bits, where pack_pairs has seen to it that they fit, and VPMADDWD two of those sums.
// One pixel alone is bound by the memory that weights come from, so there codes and weights are widened to 16 bits, even and
// odd ones apart, for VPMADDWD.
#include "gemv256.h"

namespace bitwright {
namespace {

struct Widened {
  struct Weights {
    explicit Weights(__m256i w) : even(_mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8)), odd(_mm256_srai_epi16(w, 8)) {}
    __m256i even, odd;
  };
  struct Codes {
    explicit Codes(__m256i x) : even(_mm256_and_si256(x, _mm256_set1_epi16(0xff))), odd(_mm256_srli_epi16(x, 8)) {}
    __m256i even, odd;
  };
  static __m256i multiply_add(__m256i acc, const Codes& x, const Weights& w) {
    __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(x.even, w.even), _mm256_madd_epi16(x.odd, w.odd));
    return _mm256_add_epi32(acc, sum);
  }
};

struct Pairs {
  static constexpr bool kExcess = true;
  using Weights = __m256i;
  using Codes = __m256i;
  static __m256i multiply_add(__m256i acc, __m256i codes, __m256i weights) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, weights), _mm256_set1_epi16(1)));
  }
};

}  // namespace

const KernelRow<IgemmParams> gemv_avx2 = {
    "gemv, four panels", Isa::avx2, gemv_accepts, gemv_units, packed_quads_bytes, pack_quads, nullptr, run_gemv<Widened>};

const KernelRow<IgemmParams> igemm_avx2 = {
    "igemm, register tiles", Isa::avx2, nullptr, units, packed_pairs_bytes, pack_pairs, nullptr, run<Pairs>};

}  // namespace bitwright
