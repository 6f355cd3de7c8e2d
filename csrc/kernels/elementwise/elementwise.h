// Pixel by pixel: add, mul, and affine (batch_norm, dequantize). See docs/arithmetic.md for each formula.
#pragma once

#include "kernels/kernel.h"

namespace bitwright {

enum class Elementwise { add, mul, affine };

struct ElementwiseParams {
  Elementwise op;
  Map in, second, out;
  bool per_channel;       // mul: second is one pixel, used for all
  int zp, second_zp;
  float m, m_second;      // add: m_a, m_b; mul: m
  float out_zp;           // add, mul
  Epilogue epilogue;      // affine: acc = x - zp; add, mul: no m, b, residual
  const int32_t* zps;     // affine: per channel zero points when the input is the image, or null
};

// Units are output rows.
KernelTable<ElementwiseParams> elementwise_kernels();

#define ROW(symbol, ...) extern const Kernel<ElementwiseParams> symbol;
#include "kernels/elementwise/rows.inc"
#undef ROW

}  // namespace bitwright
