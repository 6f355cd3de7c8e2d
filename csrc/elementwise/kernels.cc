#include "elementwise.h"

namespace bitwright {

KernelTable<ElementwiseParams> elementwise_kernels() {
  static const KernelRow<ElementwiseParams> rows[] = {
#ifdef BITWRIGHT_X86
      elementwise_avx512vnni, elementwise_avx2,
#endif
      elementwise_scalar,
  };
  return {rows, static_cast<int>(sizeof(rows) / sizeof(rows[0]))};
}

}  // namespace bitwright
