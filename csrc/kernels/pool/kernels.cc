#include "kernels/pool/pool.h"
#include "kernels/rows.h"

namespace bitwright {

KernelTable<PoolParams> pool_kernels() {
  static constexpr KernelRow<PoolParams> rows[] = {
#define ROW(symbol, name, needs, accepts) {name, needs, accepts, &symbol},
#include "kernels/pool/rows.inc"
#undef ROW
  };
  return rows;
}

const Family pool_family("pool", pool_kernels());

}  // namespace bitwright
