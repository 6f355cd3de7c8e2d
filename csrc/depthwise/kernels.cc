#include "depthwise.h"

namespace bitwright {

KernelTable<DepthwiseParams> depthwise_kernels() {
  static const KernelRow<DepthwiseParams> rows[] = {
      depthwise_scalar,
  };
  return {rows, static_cast<int>(sizeof(rows) / sizeof(rows[0]))};
}

}  // namespace bitwright
