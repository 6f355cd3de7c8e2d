#include "kernels/peak/loops.h"

namespace bitwright {

int64_t peak_scalar(int rounds) {
  unsigned a[4] = {1, 2, 3, 4}, factor = static_cast<unsigned>(rounds) | 1;  // they wrap
  for (int i = 0; i < rounds; ++i)
    for (unsigned& x : a) {
      x = x * factor + static_cast<unsigned>(i);
      __asm__ volatile("" : "+r"(x));  // or the compiler would find the sum itself
    }
  return int64_t{4} * rounds;
}

int64_t add_chain(int rounds) {
  constexpr int kAdds = 8;
  unsigned sum = 1, addend = static_cast<unsigned>(rounds) | 1;  // no constant, which some processors add while they rename
  for (int i = 0; i < rounds; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < kAdds; ++j) {
      sum += addend;
      __asm__ volatile("" : "+r"(sum), "+r"(addend));
    }
  return int64_t{kAdds} * rounds;
}

}  // namespace bitwright
