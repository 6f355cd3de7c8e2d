// What max_pool2d, avg_pool2d and global_avg_pool2d have in common.
#pragma once

#include "kernels/pool/pool.h"
#include "ops/check.h"
#include "ops/kernel_step.h"

namespace bitwright {

// The shape that windows of the node's attributes give, which are checked.
std::vector<int> pooled_shape(const NodeCheck& of, const std::vector<int>& dilation);

std::unique_ptr<KernelStep<PoolParams>> make_pool(const Binding&, Pool);

}  // namespace bitwright
