// conv2d: on bytes, on bit planes, or depthwise; with what squeeze-and-excite fuses into it.
#include "ops/squeeze.h"
#include "ops/weighted.h"

namespace bitwright {
namespace {

int groups_of(const Node& node) { return node.attrs.at("groups")[0]; }

void check(const NodeCheck& of) {
  of.inputs(1, 2), of.planes(), of.range();
  of.expect(of.out.shape.size() == 3, "the output's shape is wrong");
  int groups = of.attr_within("groups", 1, 1, 1 << 20)[0], channels = of.in().shape[0], outs = of.out.shape[0];
  of.expect(channels % groups == 0 && outs % groups == 0, "groups does not divide the channels");
  const Tensor* found = of.find("weight");
  of.expect(found && found->shape.size() == 4, "tensor weight is missing or has a wrong shape");
  const auto& dims = found->shape;
  of.expect(dims[2] >= 1 && dims[2] <= kMostWindow && dims[3] >= 1 && dims[3] <= kMostWindow, "the window is out of range");
  std::vector<int> kernel = {static_cast<int>(dims[2]), static_cast<int>(dims[3])};
  const Tensor& weight = of.tensor("weight", Type::int8, {outs, channels / groups, dims[2], dims[3]});
  auto size = checked_size(of, kernel, of.attr_within("dilation", 2, 1, kMostWindow));
  of.shape({outs, size[0], size[1]});
  of.tensor("m", Type::float32, {outs}), of.tensor("b", Type::float32, {outs}), of.residual(1);
  check_accumulator(of, weight, outs, channels / groups, kernel[0] * kernel[1], outs / groups);
}

bool is_dense(const Node& node) { return groups_of(node) == 1; }

bool is_pointwise(const Node& node) {
  auto all = [&](const char* key, int wanted) {
    auto found = node.attrs.find(key);
    return found == node.attrs.end() ||
           std::all_of(found->second.begin(), found->second.end(), [=](int n) { return n == wanted; });
  };
  const auto& shape = node.tensors.at("weight").shape;
  return shape[2] == 1 && shape[3] == 1 && all("stride", 1) && all("padding", 0) && all("groups", 1);
}

bool is_depthwise(const Graph& graph, const Layer& layer) {
  const Value& in = graph.values[layer.operand(Role::codes)];
  int groups = groups_of(*layer.node);
  return !in.planes && groups > 1 && groups == extent(in).c && groups == extent(graph.values[layer.node->output]).c;
}

Halo halo(const Graph& graph, const Layer& layer) {
  Window w = conv_window(*layer.node);
  Extent in = extent(graph.values[layer.operand(Role::codes)]), out = extent(graph.values[layer.node->output]);
  auto beyond = [](int outs, int stride, int taps, int dilation, int pad, int size) {
    return std::max(0, (outs - 1) * stride - pad + (taps - 1) * dilation + 1 - size);
  };
  return {w.pad_top, w.pad_left, beyond(out.h, w.stride_h, w.kh, w.dilation_h, w.pad_top, in.h),
          beyond(out.w, w.stride_w, w.kw, w.dilation_w, w.pad_left, in.w)};
}

Steps make(const Binding& binding) {
  const Layer& layer = binding.layer;
  if (layer.pool) return one_step(make_pooled(binding));
  if (layer.scale) return one_step(make_scaled(binding));
  Window window = conv_window(*layer.node);
  if (binding.graph.values[layer.operand(Role::codes)].planes) return one_step(make_bitgemm(binding, window));
  int groups = groups_of(*layer.node);
  if (is_depthwise(binding.graph, layer)) return one_step(make_depthwise(binding, window, groups));
  return one_step(make_igemm(binding, window, groups));
}

}  // namespace

extern const Op conv2d_op = {
    "conv2d",
    {Role::codes, Role::residual},
    check,
    make,
    {.takes_table = true, .is_dense = is_dense, .is_pointwise = is_pointwise, .is_depthwise = is_depthwise, .halo = halo}};

}  // namespace bitwright
