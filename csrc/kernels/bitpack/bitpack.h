// Packs codes, a byte each, into bit planes of 32 channels a word, for bit-gemm; a `table` op's table may be applied first.
#pragma once

#include "kernels/kernel.h"

namespace bitwright {

struct BitpackParams {
  Map in, out;  // out: packed
  int planes;
  // One plane, and the table (if there is one) monotone: bit = (x >= threshold) ^ flip, one for each channel (padded to 64).
  const uint8_t* thresholds;
  const uint32_t* flips;  // a bit for each channel
  // Where thresholds is null: code = table[x], or table[256 * c + x] where it is per channel, or x.
  const uint8_t* table;
  bool per_channel;
};

// Units are output rows.
KernelTable<BitpackParams> bitpack_kernels();

#define ROW(symbol, ...) extern const Kernel<BitpackParams> symbol;
#include "kernels/bitpack/rows.inc"
#undef ROW

}  // namespace bitwright
