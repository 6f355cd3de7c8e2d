// Loops whose counter is a constant in each turn: arrays that only it indexes can be registers, whatever follows the loop.
// (A loop that the compiler unrolls later on leaves them in memory as soon as the code after it is more than stores.)
#pragma once

#include "kernels/target.h"

namespace bitwright {
namespace {

template <int kValue>
struct Constant {
  constexpr operator int() const { return kValue; }
};

// Calls f(Constant<0>()) to f(Constant<kCount - 1>()).
template <int kCount, class F>
BITWRIGHT_INLINE constexpr void unrolled(const F& f) {
  if constexpr (kCount > 0) {
    unrolled<kCount - 1>(f);
    f(Constant<kCount - 1>());
  }
}

}  // namespace
}  // namespace bitwright
