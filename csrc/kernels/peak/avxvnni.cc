// VPDPBUSD: 32 multiply-adds.
#include <immintrin.h>

#include "kernels/peak/loops.h"

namespace bitwright {

int64_t peak_avxvnni(int rounds) {
  constexpr int kChains = 12;  // enough to hide the latency
  __m256i acc[kChains] = {}, x = _mm256_set1_epi8(1);
  __asm__ volatile("" : "+x"(x));
  for (int i = 0; i < rounds; ++i)
    for (auto& a : acc) {
      a = _mm256_dpbusd_avx_epi32(a, x, x);
      __asm__ volatile("" : "+x"(a));  // or the compiler would find the sum itself
    }
  return int64_t{32} * kChains * rounds;
}

}  // namespace bitwright
