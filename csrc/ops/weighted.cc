#include "ops/weighted.h"

#include <numeric>

namespace bitwright {

void check_accumulator(const NodeCheck& of, const Tensor& weight, int64_t outs, int depth, int taps, int group_outs) {
  auto w = weight.as<int8_t>();
  bool lowest = false;
  for (int8_t code : w) lowest |= code == -128;
  of.expect(!lowest, "a weight is -128");
  const Value& in = of.in();
  int64_t reach = 0;
  for (int zp : in.zero_points) reach = std::max<int64_t>(reach, std::max(zp, in.max_stored() - zp));
  if (127 * reach * depth * taps <= INT32_MAX) return;  // whatever the weights are
  for (int64_t o = 0; o < outs; ++o) {
    int64_t most = 0;
    for (int i = 0; i < depth; ++i) {
      int zp = in.zero_point(static_cast<int>(o / group_outs) * depth + i);
      for (int t = 0; t < taps; ++t) {
        int code = w[(o * depth + i) * taps + t];
        most += static_cast<int64_t>(std::abs(code)) * std::max(zp, in.max_stored() - zp);
      }
    }
    of.expect(most <= INT32_MAX, "an accumulator could overflow int32");
  }
}

std::vector<int32_t> starts(const Value& in, std::span<const int8_t> w, int outs, int depth, int taps, int group_outs) {
  std::vector<int32_t> start(outs);
  for (int o = 0; o < outs; ++o) {
    auto sum_of = [&](int first, int count) {
      auto part = w.subspan((static_cast<size_t>(o) * depth + first) * taps, static_cast<size_t>(count) * taps);
      return static_cast<uint32_t>(std::accumulate(part.begin(), part.end(), 0));
    };
    uint32_t sum = 0;
    if (in.zero_points.size() == 1)
      sum = static_cast<uint32_t>(in.zero_points[0]) * sum_of(0, depth);
    else
      for (int i = 0; i < depth; ++i) sum += static_cast<uint32_t>(in.zero_points[o / group_outs * depth + i]) * sum_of(i, 1);
    start[o] = static_cast<int32_t>(-sum);
  }
  return start;
}

namespace {

template <class Params>
std::unique_ptr<KernelStep<Params>> make_convolution(const Binding& binding, const Window& window, int groups,
                                                     const KernelTable<Params>& kernels) {
  auto step = std::make_unique<KernelStep<Params>>(binding);
  const Node& node = *binding.layer.node;
  auto weights = node.tensors.at("weight").as<int8_t>();
  Params& p = step->params;
  p.window = window;
  if constexpr (requires { p.groups; }) p.groups = groups;
  if constexpr (requires { p.most_weight; }) {
    for (int w : weights) p.most_weight = std::max(p.most_weight, std::abs(w));
    p.most_code = step->of(Role::codes).max_stored();
    if (window.kh == 3 && window.kw == 3 && p.most_code < 64 && groups == 1) count_more_quads(p, weights.data(), p.more_quads);
  }
  if constexpr (requires { p.pooled; }) p.pooled = binding.layer.pool != nullptr;
  int depth = p.in.c / groups, taps = window.kh * window.kw;
  p.start = step->keep(starts(step->of(Role::codes), weights, p.out.c, depth, taps, p.out.c / groups));
  p.epilogue = step->epilogue(floats(node, "m"), floats(node, "b"));
  step->macs = static_cast<int64_t>(p.out.h) * p.out.w * p.out.c * depth * taps;
  step->bind(kernels, weights.data());
  return step;
}

}  // namespace

std::unique_ptr<KernelStep<IgemmParams>> make_igemm(const Binding& binding, const Window& window, int groups) {
  return make_convolution(binding, window, groups, igemm_kernels());
}

std::unique_ptr<KernelStep<DepthwiseParams>> make_depthwise(const Binding& binding, const Window& window, int groups) {
  return make_convolution(binding, window, groups, depthwise_kernels());
}

Window conv_window(const Node& node) {
  const auto& shape = node.tensors.at("weight").shape;
  return window_of(node, static_cast<int>(shape[2]), static_cast<int>(shape[3]));
}

}  // namespace bitwright
