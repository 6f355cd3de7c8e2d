// add and mul: two values, element by element, or a value and a factor for each of its channels.
#include "ops/elementwise.h"

#include "ops/check.h"

namespace bitwright {
namespace {

void check_add(const NodeCheck& of) {
  of.inputs(2, 2), of.range(), of.one_zero_point(0), of.one_zero_point(1), of.shape(of.in(0).shape), of.shape(of.in(1).shape),
      of.same_channel(0), of.same_channel(1);
  of.tensor("m_a", Type::float32, {1}), of.tensor("m_b", Type::float32, {1});
}

void check_mul(const NodeCheck& of) {
  of.inputs(2, 2), of.range(), of.one_zero_point(0), of.one_zero_point(1), of.shape(of.in(0).shape), of.same_channel(0),
      of.same_channel(1);
  const auto &a = of.in(0).shape, &b = of.in(1).shape;
  std::vector<int> of_channels(a.size(), 1);
  of_channels[of.in().channel] = of.in().channels();
  of.expect(a == b || b == of_channels, "the shapes of its inputs do not fit");
  of.tensor("m", Type::float32, {1});
}

std::unique_ptr<KernelStep<ElementwiseParams>> make_two(const Binding& binding, Elementwise op, Role second) {
  auto step = std::make_unique<KernelStep<ElementwiseParams>>(binding);
  const Value &a = step->of(Role::codes), &b = step->of(second), &out = binding.graph.values[binding.layer.node->output];
  ElementwiseParams& p = step->params;
  p.op = op;
  p.per_channel = a.shape != b.shape;
  p.zp = a.zero_point(0), p.second_zp = b.zero_point(0);
  if (!out.is_float) p.out_zp = out.shift();
  p.epilogue = step->store();
  return step;
}

std::unique_ptr<KernelStep<ElementwiseParams>> bound(std::unique_ptr<KernelStep<ElementwiseParams>> step) {
  ElementwiseParams& p = step->params;
  p.epilogue.narrow = std::max(std::abs(p.m), std::abs(p.m_second)) < 0x1p14f;  // times 255 * 255 at most
  step->bind(elementwise_kernels());
  return step;
}

bool scales_channels(const Graph& graph, const Layer& layer) {
  return graph.values[layer.operand(Role::codes)].shape != graph.values[layer.operand(Role::factor)].shape;
}

}  // namespace

std::unique_ptr<KernelStep<ElementwiseParams>> make_add(const Binding& binding) {
  auto step = make_two(binding, Elementwise::add, Role::addend);
  step->params.m = floats(*binding.layer.node, "m_a")[0], step->params.m_second = floats(*binding.layer.node, "m_b")[0];
  return bound(std::move(step));
}

std::unique_ptr<KernelStep<ElementwiseParams>> make_mul(const Binding& binding) {
  auto step = make_two(binding, Elementwise::mul, Role::factor);
  step->params.m = floats(*binding.layer.node, "m")[0];
  return bound(std::move(step));
}

extern const Op add_op = {"add",
                          {Role::codes, Role::addend},
                          check_add,
                          [](const Binding& binding) { return one_step(make_add(binding)); },
                          {.takes_table = true}};
extern const Op mul_op = {"mul",
                          {Role::codes, Role::factor},
                          check_mul,
                          [](const Binding& binding) { return one_step(make_mul(binding)); },
                          {.takes_table = true, .scales_channels = scales_channels}};

}  // namespace bitwright
