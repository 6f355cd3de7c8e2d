// Convolution and linear layers of one-bit weights {-1, +1}, or {-1, 0, +1}, over codes of few bits that lie as bit planes.
// For a plane x and weights w (1 for +1), each a bit, sum x * w = count of +1 - popcount(x ^ w), where w is not 0; so
//
//   acc = start - (count << doubled),   count = sum over planes of 2^i * popcount((x_i ^ w) & mask)
//
// and `start` holds all else: the count of +1, the zero point, and for the numbers 2 * code - 1 of binary inputs, which
// are doubled, the sum of the weights. Zeros beyond the border of a binary input are no code: they lie as 0, and where a
// window reaches beyond it `start` is another one.
#pragma once

#include "kernels/kernel.h"

namespace bitwright {

constexpr int kBitBlock = 32;  // output channels that are computed together, and a word of planes

struct BitgemmParams {
  Map in, out, second;   // in: packed; second: the residual, same h, w, c as out
  Window window;
  int planes, doubled;
  bool masked;           // some weights are 0
  int packed_planes;     // of the output, or 0: codes or floats, a lane each
  const int32_t* start;  // for (y, x) it is start + start_rows[y] + start_columns[x]: one for each channel (padded to 64)
  const int32_t* start_rows;
  const int32_t* start_columns;
  // Where not null, the epilogue of a packed output of one plane: bit = (acc >= threshold) ^ flip.
  const int32_t* thresholds;
  const uint32_t* flips;  // a bit for each channel
  const void* weights;    // what `pack` wrote
  Epilogue epilogue;
};

// Weights to pack: [O][I][kh][kw], -1, 0 or 1.
KernelTable<BitgemmParams> bitgemm_kernels();

#define ROW(symbol, ...) extern const Kernel<BitgemmParams> symbol;
#include "kernels/bitgemm/rows.inc"
#undef ROW

}  // namespace bitwright
