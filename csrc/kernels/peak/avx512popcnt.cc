// VPXORD, VPOPCNTD and VPADDD: 512 multiply-adds of bits.
#include <immintrin.h>

#include "kernels/peak/loops.h"

namespace bitwright {

int64_t peak_avx512popcnt(int rounds) {
  constexpr int kChains = 12;  // enough to hide the latency
  __m512i acc[kChains] = {}, x = _mm512_set1_epi8(1);
  __asm__ volatile("" : "+v"(x));
  for (int i = 0; i < rounds; ++i)
    for (auto& a : acc) {
      __m512i differ = _mm512_xor_si512(a, x);
      __asm__ volatile("" : "+v"(differ));  // or the compiler would find the sum itself
      a = _mm512_add_epi32(a, _mm512_popcnt_epi32(differ));
      __asm__ volatile("" : "+v"(a));
    }
  return int64_t{512} * kChains * rounds;
}

}  // namespace bitwright
