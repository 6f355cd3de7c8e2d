// Depthwise convolution: output channel c sees input channel c alone. The input has a halo, so every tap of
// every window exists: the window of output (y, x) starts at pixel (y*stride_h - pad_top, x*stride_w - pad_left).
#pragma once

#include "../kernel.h"

namespace bitwright {

struct DepthwiseParams {
  Map in, out, second;   // second: the residual, same h, w, c as out
  Window window;
  const int32_t* start;  // per channel, -zero_point * sum of its weights: acc = start + sum x * w (padded to 64)
  const void* weights;   // what `pack` wrote
  Epilogue epilogue;
};

// Weights to pack: [C][kh][kw]. Units are output rows unless a row says otherwise.
KernelTable<DepthwiseParams> depthwise_kernels();

#ifdef BITWRIGHT_X86
extern const KernelRow<DepthwiseParams> depthwise_avx512vnni_3x3, depthwise_avx512vnni, depthwise_avxvnni, depthwise_avx2;
#endif
extern const KernelRow<DepthwiseParams> depthwise_scalar;

}  // namespace bitwright
