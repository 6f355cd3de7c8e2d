#include "grouped.h"

namespace bitwright {

KernelTable<GroupedParams> grouped_kernels() {
  static const KernelRow<GroupedParams> rows[] = {
#ifdef BITWRIGHT_X86
      grouped4_avx512vnni, grouped_avx512vnni, grouped4_avx2, grouped_avx2,
#endif
      grouped_scalar,
  };
  return {rows, static_cast<int>(sizeof(rows) / sizeof(rows[0]))};
}

}  // namespace bitwright
