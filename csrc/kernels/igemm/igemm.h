// Convolution and linear layers as an implicit matrix product: output pixels x output channels, K = taps x input
// channels read in place. The input has a halo, so every tap of every window exists. linear is a 1x1 window on a
// 1x1 map; GEMV rows accept just those with out.h * out.w == 1.
#pragma once

#include "kernels/kernel.h"

namespace bitwright {

struct IgemmParams {
  Map in, out, second;   // second: the residual, same h, w, c as out
  Window window;
  int groups;
  int most_weight, most_code;  // the greatest |weight|, and the greatest code as it is stored
  const int32_t* start;  // per output channel, -sum over K of zero_point * w: acc = start + sum x * w (padded to 64)
  const void* weights;   // what `pack` wrote
  Epilogue epilogue;
  bool strip;            // one thread does it all: the caller has cut the map into such
};

// Weights to pack: [O][I / groups][kh][kw].
KernelTable<IgemmParams> igemm_kernels();

#define ROW(symbol, ...) extern const Kernel<IgemmParams> symbol;
#include "kernels/igemm/rows.inc"
#undef ROW

}  // namespace bitwright
