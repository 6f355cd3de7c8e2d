#include "table.h"

namespace bitwright {

KernelTable<TableParams> table_kernels() {
  static const KernelRow<TableParams> rows[] = {
#ifdef BITWRIGHT_X86
      table_avx512vnni, table_channels_avx512vnni, table_avx2,
#endif
      table_scalar,
  };
  return {rows, static_cast<int>(sizeof(rows) / sizeof(rows[0]))};
}

}  // namespace bitwright
