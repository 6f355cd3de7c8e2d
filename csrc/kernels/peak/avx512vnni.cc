// VPDPBUSD: 64 multiply-adds.
#include <immintrin.h>

#include "kernels/peak/loops.h"

namespace bitwright {

int64_t peak_avx512vnni(int rounds) {
  constexpr int kChains = 12;  // enough to hide the latency
  __m512i acc[kChains] = {}, x = _mm512_set1_epi8(1);
  __asm__ volatile("" : "+v"(x));
  for (int i = 0; i < rounds; ++i)
    for (auto& a : acc) {
      a = _mm512_dpbusd_epi32(a, x, x);
      __asm__ volatile("" : "+v"(a));  // or the compiler would find the sum itself
    }
  return int64_t{64} * kChains * rounds;
}

}  // namespace bitwright
