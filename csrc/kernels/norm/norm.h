// group_norm: each group of neighbouring channels of a map brought to mean 0 and variance 1, then each channel's multiplier and
// shift. See docs/arithmetic.md. Two passes over a block of channels: their sums, then the codes.
#pragma once

#include "kernels/kernel.h"

namespace bitwright {

struct NormParams {
  Map in, out, second;  // there is no second
  int group;  // channels of one
  float e;  // added to the variance, as a multiple of its unit
  Epilogue epilogue;  // m, b; no residual
};

// Units are blocks of channels, which the image's pixels stay in cache for, more or less.
KernelTable<NormParams> norm_kernels();

#define ROW(symbol, ...) extern const Kernel<NormParams> symbol;
#include "kernels/norm/rows.inc"
#undef ROW

}  // namespace bitwright
