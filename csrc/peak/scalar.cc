#include "peak.h"

namespace bitwright {

int64_t peak_scalar(int rounds) {
  int a[4] = {1, 2, 3, 4}, factor = rounds | 1;
  for (int i = 0; i < rounds; ++i)
    for (int& x : a) {
      x = x * factor + i;
      __asm__ volatile("" : "+r"(x));  // or the compiler would find the sum itself
    }
  return int64_t{4} * rounds;
}

}  // namespace bitwright
