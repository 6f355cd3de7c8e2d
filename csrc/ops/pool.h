// max_pool2d, avg_pool2d, global_avg_pool2d as steps.
#pragma once

#include "kernels/pool/pool.h"
#include "ops/kernel_step.h"

namespace bitwright {

std::unique_ptr<KernelStep<PoolParams>> make_pool(const Binding&, Pool);

}  // namespace bitwright
