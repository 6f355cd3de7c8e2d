#include "kernels/elementwise/blocks.h"

namespace bitwright {

const Kernel<ElementwiseParams> elementwise_neon = {elementwise_units, nullptr, nullptr, nullptr, run_elementwise};

}  // namespace bitwright
