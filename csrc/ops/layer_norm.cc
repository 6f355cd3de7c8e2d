// layer_norm: the channels of each pixel or token brought to mean 0 and variance 1.
#include "kernels/layer_norm/layer_norm.h"

#include "ops/check.h"
#include "ops/kernel_step.h"
#include "ops/norm.h"

namespace bitwright {
namespace {

constexpr int kMostChannels = 1 << 15;  // so that 2^16 times it fits int32, and 2^32 times its square int64

void check(const NodeCheck& of) {
  const size_t count = of.node.inputs.size();
  of.inputs(1, kMostSummands), of.range();
  for (size_t i = 0; i < count; ++i) of.one_zero_point(i), of.shape(of.in(i).shape), of.same_channel(i);
  int channels = of.in().channels();
  of.expect(channels <= kMostChannels, "a sum over the channels could overflow int32");
  check_norm(of, channels);
  if (count == 1) return;
  const Tensor* found = of.find("m_x");
  std::vector<int64_t> dims = {static_cast<int64_t>(count)};
  if (found && found->shape.size() == 2) dims.push_back(channels);
  auto m = of.tensor("m_x", Type::float32, dims).as<float>();
  const size_t each = m.size() / count;  // numbers for each summand: one, or one for each channel
  double most = 0;
  for (size_t c = 0; c < each; ++c) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) {
      int zp = of.in(i).zero_points[0];
      sum += std::abs(static_cast<double>(m[i * each + c])) * std::max(zp, of.in(i).max_stored() - zp);
    }
    most = std::max(most, sum);
  }
  of.expect(most <= std::min((1 << 30) / channels, 1 << 22) - 256, "a sum of its inputs could be too large");
}

// m_x of a summand, for each channel.
std::vector<float> multipliers(const Node& node, size_t summand, int channels) {
  const std::vector<float> m = floats(node, "m_x");
  if (m.size() == node.inputs.size()) return std::vector<float>(static_cast<size_t>(channels), m[summand]);
  auto first = m.begin() + static_cast<ptrdiff_t>(summand) * channels;
  return {first, first + channels};
}

Steps make(const Binding& binding) {
  auto step = std::make_unique<KernelStep<LayerNormParams>>(binding);
  const Node& node = *binding.layer.node;
  std::vector<float> m = floats(node, "m"), b = floats(node, "b");
  LayerNormParams& p = step->params;
  p.e = floats(node, "e")[0];
  std::vector<Summand> summands;
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    int value = node.inputs[i];
    const float* of_summand = step->keep(multipliers(node, i, p.in.c));
    summands.push_back({binding.layout.location(value).map, binding.graph.values[value].zero_point(0), of_summand});
  }
  p.count = static_cast<int>(summands.size());
  if (p.count) {
    p.zp = step->of(Role::codes).zero_point(0), p.m = step->keep(multipliers(node, 0, p.in.c));
    p.summands = step->keep(summands);
  }
  p.epilogue = step->epilogue(m, b);
  p.epilogue.narrow = is_narrow_norm(m, b);
  step->bind(layer_norm_kernels());
  return one_step(std::move(step));
}

}  // namespace

extern const Op layer_norm_op = {"layer_norm", {Role::codes, Role::summand, Role::summand}, check, make, {.takes_table = true}};

}  // namespace bitwright
