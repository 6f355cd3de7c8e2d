#include "bitpack.h"

namespace bitwright {

KernelTable<BitpackParams> bitpack_kernels() {
  static const KernelRow<BitpackParams> rows[] = {
#ifdef BITWRIGHT_X86
      bitpack_avx512vnni, bitpack_avx2,
#endif
      bitpack_scalar,
  };
  return {rows, static_cast<int>(sizeof(rows) / sizeof(rows[0]))};
}

}  // namespace bitwright
