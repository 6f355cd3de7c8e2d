// add and mul as steps.
#pragma once

#include "kernels/elementwise/elementwise.h"
#include "ops/kernel_step.h"

namespace bitwright {

std::unique_ptr<KernelStep<ElementwiseParams>> make_add(const Binding&);
std::unique_ptr<KernelStep<ElementwiseParams>> make_mul(const Binding&);

}  // namespace bitwright
