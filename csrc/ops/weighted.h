// What conv2d and linear share: weights that multiply codes. Zero points are folded into the numbers that sums start from.
#pragma once

#include "kernels/depthwise/depthwise.h"
#include "kernels/igemm/igemm.h"
#include "ops/check.h"
#include "ops/kernel_step.h"
#include "ops/window.h"

namespace bitwright {

// Throws where sum |w| * |x - zero_point| could leave int32. Weights are [outs, depth, taps]; output o reads input channels
// from o / group_outs * depth on.
void check_accumulator(const NodeCheck& of, const Tensor& weight, int64_t outs, int depth, int taps, int group_outs);

// -sum of zero_point * w for each output channel, which may wrap; start + sum x * w does not.
std::vector<int32_t> starts(const Value& in, std::span<const int8_t> w, int outs, int depth, int taps, int group_outs);

// Steps of the families that multiply bytes, each output channel of all inputs of its group.
std::unique_ptr<KernelStep<IgemmParams>> make_igemm(const Binding&, const Window&, int groups);
std::unique_ptr<KernelStep<DepthwiseParams>> make_depthwise(const Binding&, const Window&, int groups);

// A step of the family that counts bits, of an input on bit planes.
std::unique_ptr<Step> make_bitgemm(const Binding&, const Window&);

// The window of a conv2d node.
Window conv_window(const Node& node);

}  // namespace bitwright
