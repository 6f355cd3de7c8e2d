// layer_norm: the channels of each pixel brought to mean 0 and variance 1, then each channel's multiplier and shift. See
// docs/arithmetic.md. Two passes over a pixel, which stays in the nearest cache: its sums, then the codes.
#pragma once

#include "kernels/kernel.h"

namespace bitwright {

// A value that is added to what is read: its map, and m_x of each channel, with zeros up to the next multiple of 64.
struct Summand {
  Map map;
  int zp;
  const float* m;
};

struct LayerNormParams {
  Map in, out;
  int zp;                   // of the input, and its m_x, where there are summands
  const float* m;
  const Summand* summands;  // in this order
  int count;                // of these
  float e;  // added to the variance, as a multiple of its unit
  Epilogue epilogue;  // m, b; no residual
};

// Units are pixels.
KernelTable<LayerNormParams> layer_norm_kernels();

#define ROW(symbol, ...) extern const Kernel<LayerNormParams> symbol;
#include "kernels/layer_norm/rows.inc"
#undef ROW

}  // namespace bitwright
