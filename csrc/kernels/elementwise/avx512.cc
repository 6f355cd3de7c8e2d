#include "kernels/elementwise/blocks.h"

namespace bitwright {

const Kernel<ElementwiseParams> elementwise_avx512 = {elementwise_units, nullptr, nullptr, nullptr, run_elementwise};

}  // namespace bitwright
