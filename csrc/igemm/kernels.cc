#include "igemm.h"

namespace bitwright {

KernelTable<IgemmParams> igemm_kernels() {
  static const KernelRow<IgemmParams> rows[] = {
      igemm_scalar,
  };
  return {rows, static_cast<int>(sizeof(rows) / sizeof(rows[0]))};
}

}  // namespace bitwright
