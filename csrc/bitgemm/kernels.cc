#include "bitgemm.h"

namespace bitwright {

KernelTable<BitgemmParams> bitgemm_kernels() {
  static const KernelRow<BitgemmParams> rows[] = {
#ifdef BITWRIGHT_X86
      bitgemm_avx512vnni, bitgemm_avx2,
#endif
      bitgemm_scalar,
  };
  return {rows, static_cast<int>(sizeof(rows) / sizeof(rows[0]))};
}

}  // namespace bitwright
