// VPDPBUSD: a quad of four codes is broadcast and multiplied with a quad of each of 64 channels, four sums side by side.
// Weights of 4 bits are split by a mask and a shift in front of it, which is less than reading twice the bytes.
#include "kernels/grouped/vectors.h"

namespace bitwright {
namespace {

struct Quads {
  static constexpr int kTaps = 4, kZero = 0;
  using Weights = __m512i;

  static Weights load(const int8_t* w) { return _mm512_loadu_si512(w); }
  static Weights low(Weights bytes) { return _mm512_and_si512(bytes, _mm512_set1_epi8(15)); }
  static Weights high(Weights bytes) { return _mm512_and_si512(_mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(15)); }
  static __m512i codes(const uint8_t* x, int i, int /*depth*/) {
    int four;
    __builtin_memcpy(&four, x + i, sizeof four);
    return _mm512_set1_epi32(four);
  }
  static __m512i multiply_add(__m512i acc, __m512i codes, Weights weights) { return _mm512_dpbusd_epi32(acc, codes, weights); }
};

}  // namespace

const Kernel<GroupedParams> grouped_avx512vnni = GroupedVectors<Quads, 4, false>::kernel();
const Kernel<GroupedParams> grouped4_avx512vnni = GroupedVectors<Quads, 4, true>::kernel();

}  // namespace bitwright
