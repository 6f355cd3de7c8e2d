// VPMADDWD and VPADDD: 16 multiply-adds a pair.
#include <immintrin.h>

#include "kernels/peak/loops.h"

namespace bitwright {

int64_t peak_avx2(int rounds) {
  constexpr int kChains = 12;  // enough to hide the latency
  __m256i acc[kChains] = {}, x = _mm256_set1_epi16(1);
  __asm__ volatile("" : "+x"(x));
  for (int i = 0; i < rounds; ++i)
    for (auto& a : acc) {
      a = _mm256_add_epi32(a, _mm256_madd_epi16(x, x));
      __asm__ volatile("" : "+x"(a));  // or the compiler would find the sum itself
    }
  return int64_t{16} * kChains * rounds;
}

}  // namespace bitwright
