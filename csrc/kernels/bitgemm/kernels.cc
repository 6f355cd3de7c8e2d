#include "kernels/bitgemm/bitgemm.h"
#include "kernels/rows.h"

namespace bitwright {
KernelTable<BitgemmParams> bitgemm_kernels() {
  static constexpr KernelRow<BitgemmParams> rows[] = {
#define ROW(symbol, name, needs, accepts) {name, needs, accepts, &symbol},
#include "kernels/bitgemm/rows.inc"
#undef ROW
  };
  return rows;
}

const Family bitgemm_family("bitgemm", bitgemm_kernels());

}  // namespace bitwright
