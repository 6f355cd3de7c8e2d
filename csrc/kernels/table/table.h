// A unary function as a table from code to code, one for all channels or one for each. The runtime fuses a shared
// table into the kernel before it where it can; this is for the rest.
#pragma once

#include "kernels/kernel.h"

namespace bitwright {

constexpr int kImageLanes = 4;  // of a pixel of the image

struct TableParams {
  Map in, out;
  const uint8_t* table;
  bool per_channel;     // table is [C][256]
  const void* weights;  // what `pack` wrote: the tables as the kernel wants them
};

// Units are output rows.
KernelTable<TableParams> table_kernels();

#define ROW(symbol, ...) extern const Kernel<TableParams> symbol;
#include "kernels/table/rows.inc"
#undef ROW

}  // namespace bitwright
