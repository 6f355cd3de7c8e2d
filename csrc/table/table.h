// A unary function as a table from code to code, one for all channels or one for each. The runtime fuses a shared
// table into the kernel before it where it can; this is for the rest.
#pragma once

#include "../kernel.h"

namespace bitwright {

struct TableParams {
  Map in, out;
  const uint8_t* table;
  bool per_channel;  // table is [C][256]
};

// Units are output rows.
KernelTable<TableParams> table_kernels();

#ifdef BITWRIGHT_X86
extern const KernelRow<TableParams> table_avx512vnni, table_channels_avx512vnni, table_avx2;
#endif
extern const KernelRow<TableParams> table_scalar;

}  // namespace bitwright
