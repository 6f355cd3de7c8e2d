#include "kernels/elementwise/blocks.h"

namespace bitwright {

const Kernel<ElementwiseParams> elementwise_avx2 = {elementwise_units, nullptr, nullptr, nullptr, run_elementwise};

}  // namespace bitwright
