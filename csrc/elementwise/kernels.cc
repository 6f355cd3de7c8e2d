#include "elementwise.h"

namespace bitwright {

KernelTable<ElementwiseParams> elementwise_kernels() {
  static const KernelRow<ElementwiseParams> rows[] = {
      elementwise_scalar,
  };
  return {rows, static_cast<int>(sizeof(rows) / sizeof(rows[0]))};
}

}  // namespace bitwright
