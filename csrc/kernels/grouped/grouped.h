// Linear layers whose weights have scales for groups of inputs: t = b; for each group in order t += f32(acc_g) * m_g; or
// whose weights fit four bits, where one group of all inputs gives t = f32(acc) * m + b, the same to the bit. One pixel, so
// there is nothing to share the weights with: they are read once, in panels of output channels.
#pragma once

#include "kernels/kernel.h"
#include "kernels/target.h"

namespace bitwright {

struct GroupedParams {
  Map in, out, second;   // one pixel each; second: the residual
  int groups;            // of in.c / groups inputs each
  bool few_bits;         // all weights are in -7..7
  const int32_t* start;  // per group and output channel, -zero_point * sum of its weights
  const float* m;        // likewise; both [groups][channels rounded up to 64]
  const void* weights;   // what `pack` wrote
  Epilogue epilogue;     // its b is where t begins
};

inline namespace BITWRIGHT_TARGET {

inline int depth_of(const GroupedParams& p) { return p.in.c / p.groups; }
inline int padded_outs(const GroupedParams& p) { return (p.out.c + 63) / 64 * 64; }

}  // namespace BITWRIGHT_TARGET

// Weights to pack: [O][I]. Units are panels of output channels.
KernelTable<GroupedParams> grouped_kernels();

#define ROW(symbol, ...) extern const Kernel<GroupedParams> symbol;
#include "kernels/grouped/rows.inc"
#undef ROW

}  // namespace bitwright
