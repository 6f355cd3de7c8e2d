// Pairs of codes and weights are widened to 16 bits, because VPMADDUBSW would saturate.
#include "kernels/grouped/vectors.h"

namespace bitwright {
namespace {

struct Pairs {
  static constexpr int kTaps = 2, kZero = 0;
  using Weights = __m128i;

  static Weights load(const int8_t* w) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(w)); }
  static Weights low(Weights bytes) { return _mm_and_si128(bytes, _mm_set1_epi8(15)); }
  static Weights high(Weights bytes) { return _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15)); }
  static __m256i codes(const uint8_t* x, int i, int depth) {
    int first = i < depth ? x[i] : 0, second = i + 1 < depth ? x[i + 1] : 0;
    return _mm256_set1_epi32(first | second << 16);
  }
  static __m256i multiply_add(__m256i acc, __m256i codes, Weights weights) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(codes, _mm256_cvtepi8_epi16(weights)));
  }
};

}  // namespace

const Kernel<GroupedParams> grouped_avx2 = GroupedVectors<Pairs, 1, false>::kernel();
const Kernel<GroupedParams> grouped4_avx2 = GroupedVectors<Pairs, 1, true>::kernel();

}  // namespace bitwright
