// Moves of codes: loops over a few dimensions, each with its strides in memory on both sides; or the same loops
// filled with one code. out[sum of i_d * dims[d].out] = in[sum of i_d * dims[d].in]. The two never overlap.
#pragma once

#include "kernels/kernel.h"

namespace bitwright {

constexpr int kMostStride = 8;  // of a kernel that picks bytes out of vectors
constexpr int kMostDims = 16;  // both sides of a reshape have up to 8

// One loop over both sides.
struct Dim {
  int64_t extent;
  ptrdiff_t in, out;  // bytes
};

// Units are blocks: pieces of the last two dimensions, the columns and, before them, the rows.
struct MoveParams {
  Dim dims[kMostDims];
  int64_t piece[kMostDims];  // of each dimension, that a block has; 1 but for the last two
  int rank;                  // 2 or more
  ptrdiff_t in, out;         // the first element
  bool fills;                // with `code`; there is no `in`
  uint8_t code;
};

KernelTable<MoveParams> move_kernels();

#define ROW(symbol, ...) extern const Kernel<MoveParams> symbol;
#include "kernels/move/rows.inc"
#undef ROW

}  // namespace bitwright
