#include "igemm.h"

namespace bitwright {

KernelTable<IgemmParams> igemm_kernels() {
  static const KernelRow<IgemmParams> rows[] = {
#ifdef BITWRIGHT_X86
      igemm_amx, igemm_avx512vnni, gemv_avxvnni, igemm_avxvnni, gemv_avx2, igemm_avx2,
#endif
      igemm_scalar,
  };
  return {rows, static_cast<int>(sizeof(rows) / sizeof(rows[0]))};
}

}  // namespace bitwright
