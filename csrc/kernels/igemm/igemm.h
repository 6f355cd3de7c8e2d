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
  int more_quads[16];  // of `count_more_quads`, where windows are 3x3 and codes have 6 bits at most
  const int32_t* start;  // per output channel, -sum over K of zero_point * w: acc = start + sum x * w (padded to 64)
  const void* weights;  // what `pack` wrote
  Epilogue epilogue;
  bool strip;  // one thread does it all: the caller has cut the map into such
};

// G g G' of Winograd's F(2x2, 3x3) for 3x3 weights, times 2, 1, 1, 2 along each axis, which makes integers of it.
void transform_window(const int8_t* g, int (&places)[16]);
// Where these are to be bytes, numbers beyond +-127 are sums of several. How many quads of input channels stand there again for
// a panel of 32 output channels, at each of the 16 places: the most of any panel.
void count_more_quads(const IgemmParams& p, const int8_t* weights, int (&more)[16]);
constexpr int kWidePanel = 32, kMostByte = 127;

// Weights to pack: [O][I / groups][kh][kw].
KernelTable<IgemmParams> igemm_kernels();

#define ROW(symbol, ...) extern const Kernel<IgemmParams> symbol;
#include "kernels/igemm/rows.inc"
#undef ROW

}  // namespace bitwright
