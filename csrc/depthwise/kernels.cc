#include "depthwise.h"

namespace bitwright {

KernelTable<DepthwiseParams> depthwise_kernels() {
  static const KernelRow<DepthwiseParams> rows[] = {
#ifdef BITWRIGHT_X86
      depthwise_avx512vnni_3x3, depthwise_avx512vnni, depthwise_avxvnni, depthwise_avx2,
#endif
      depthwise_scalar,
  };
  return {rows, static_cast<int>(sizeof(rows) / sizeof(rows[0]))};
}

}  // namespace bitwright
