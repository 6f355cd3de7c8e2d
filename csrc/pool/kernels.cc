#include "pool.h"

namespace bitwright {

KernelTable<PoolParams> pool_kernels() {
  static const KernelRow<PoolParams> rows[] = {
#ifdef BITWRIGHT_X86
      pool_avx512vnni, pool_avx2,
#endif
      pool_scalar,
  };
  return {rows, static_cast<int>(sizeof(rows) / sizeof(rows[0]))};
}

}  // namespace bitwright
