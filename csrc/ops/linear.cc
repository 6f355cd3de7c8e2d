// linear: over tokens a convolution of 1 x 1; of one pixel with few bits, or where groups of inputs have multipliers of their
// own, a family of its own that reads each weight once.
#include "kernels/grouped/grouped.h"
#include "ops/weighted.h"

namespace bitwright {
namespace {

constexpr int kMostGroups = 1 << 16;

bool is_grouped(const Node& node) {
  auto m = node.tensors.find("m");
  return m != node.tensors.end() && m->second.shape.size() == 2;
}

// m is [O, groups], or [O] for one.
int groups_of(const Node& node) {
  if (!is_grouped(node)) return 1;
  return static_cast<int>(std::clamp<int64_t>(node.tensors.at("m").shape[1], 0, kMostGroups + 1));
}

void check(const NodeCheck& of) {
  of.inputs(1, 2), of.range();
  const Value& in = of.in();
  of.expect(in.channel == static_cast<int>(in.shape.size()) - 1, "expected an input whose channel is its last axis");
  of.one_zero_point(0), of.same_channel();
  int outs = of.out.channels(), channels = in.channels(), groups = groups_of(of.node);
  std::vector<int> result = in.shape;
  result.back() = outs;
  of.shape(result);
  const Tensor& weight = of.tensor("weight", Type::int8, {outs, channels});
  of.expect(groups >= 1 && groups <= kMostGroups && channels % groups == 0, "groups do not divide the inputs");
  std::vector<int64_t> multipliers = {outs};
  if (groups > 1) multipliers.push_back(groups);
  of.tensor("m", Type::float32, multipliers), of.tensor("b", Type::float32, {outs}), of.residual(1);
  check_accumulator(of, weight, static_cast<int64_t>(outs) * groups, channels / groups, 1, outs * groups);
}

// The groups of a grouped one are of inputs in PyTorch's order.
bool is_dense(const Node& node) { return !is_grouped(node); }

// Whether all weights fit four bits. A linear layer of one pixel reads each weight once, so it keeps such weights packed.
bool has_few_bits(const Node& node) {
  auto weights = node.tensors.at("weight").as<int8_t>();
  return std::all_of(weights.begin(), weights.end(), [](int w) { return w >= -7 && w <= 7; });
}

// A kernel for one pixel, run for each of several.
class PixelsStep : public Step {
 public:
  explicit PixelsStep(std::unique_ptr<KernelStep<GroupedParams>> one) : one_(std::move(one)) {
    const Map& out = one_->params.out;
    int pixels = out.h * out.w;
    name = one_->name, op = one_->op, kernel = one_->kernel + ", pixel by pixel", isa = one_->isa;
    macs = one_->macs * pixels, bytes = one_->bytes, weight_bytes = one_->weight_bytes;
    operands = one_->operands;
    units = one_->units * pixels, scratch_bytes = one_->scratch_bytes;
  }

  void run(const Memory& at, int begin, int end) const noexcept override {
    for (int unit = begin, last; unit < end; unit = last) {
      int pixel = unit / one_->units, first = pixel * one_->units;
      last = std::min(end, first + one_->units);
      Memory of_pixel = at;
      of_pixel[Role::codes] += offset(one_->params.in, pixel), of_pixel[Role::output] += offset(one_->params.out, pixel);
      if (at[Role::residual]) of_pixel[Role::residual] += offset(one_->params.second, pixel);
      one_->run(of_pixel, unit - first, last - first);
    }
  }

  std::vector<std::span<const uint8_t>> packed() const override { return one_->packed(); }

 private:
  static ptrdiff_t offset(const Map& map, int pixel) { return pixel / map.w * map.row + pixel % map.w * map.pixel; }

  std::unique_ptr<KernelStep<GroupedParams>> one_;
};

Steps make_grouped(const Binding& binding) {
  auto step = std::make_unique<KernelStep<GroupedParams>>(binding);
  const Node& node = *binding.layer.node;
  auto weights = node.tensors.at("weight").as<int8_t>();
  auto m = node.tensors.at("m").as<float>();
  GroupedParams& p = step->params;
  p.groups = groups_of(node);
  p.few_bits = has_few_bits(node);
  int depth = depth_of(p), outs = padded_outs(p);
  std::vector<int32_t> start(static_cast<size_t>(p.groups) * outs);
  std::vector<float> scales(start.size());
  auto starts_of = starts(step->of(Role::codes), weights, p.out.c * p.groups, depth, 1, p.out.c * p.groups);
  for (int o = 0; o < p.out.c; ++o)
    for (int g = 0; g < p.groups; ++g) {
      start[static_cast<size_t>(g) * outs + o] = starts_of[o * p.groups + g];
      scales[static_cast<size_t>(g) * outs + o] = m[o * p.groups + g];
    }
  p.start = step->keep(start), p.m = step->keep(scales);
  p.epilogue = step->epilogue({}, floats(node, "b"));
  step->macs = static_cast<int64_t>(p.out.c) * p.in.c;
  step->bind(grouped_kernels(), weights.data());
  if (p.out.h * p.out.w > 1) return one_step(std::make_unique<PixelsStep>(std::move(step)));
  return one_step(std::move(step));
}

// Where it writes one pixel, its input may be C, H, W, because a flatten before it was removed: weights [O, C * H * W] are
// then a window of H x W.
Steps make(const Binding& binding) {
  const Layer& layer = binding.layer;
  const Value& codes = binding.graph.values[layer.operand(Role::codes)];
  Extent in = extent(codes), out = extent(binding.graph.values[layer.output]);
  bool one_pixel = out.h * out.w == 1;
  Window window = {one_pixel ? in.h : 1, one_pixel ? in.w : 1, 1, 1, 0, 0, 1, 1};
  if (codes.planes) return one_step(make_bitgemm(binding, window));
  bool packs = in.h == 1 && in.w == 1 && has_few_bits(*layer.node) && has(binding.features, kAvx2);
  if (packs || is_grouped(*layer.node)) return make_grouped(binding);
  return one_step(make_igemm(binding, window, 1));
}

}  // namespace

extern const Op linear_op = {"linear", {Role::codes, Role::residual}, check, make, {.takes_table = true, .is_dense = is_dense}};

}  // namespace bitwright
