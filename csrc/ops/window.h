// Windows that slide over maps: of convolutions and of pools.
#pragma once

#include <vector>

#include "kernels/kernel.h"
#include "ops/check.h"

namespace bitwright {

// The window of kh x kw taps with the node's stride, padding and dilation.
Window window_of(const Node& node, int kh, int kw);

// Height and width of the output; throws unless the window fits into the padded input.
std::vector<int> checked_size(const NodeCheck& of, const std::vector<int>& kernel, const std::vector<int>& dilation);

}  // namespace bitwright
