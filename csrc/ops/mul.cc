// mul: the product of two values, element by element, or of a value and a factor for each of its channels.
#include "ops/check.h"
#include "ops/elementwise.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(2, 2), of.range(), of.one_zero_point(0), of.one_zero_point(1), of.shape(of.in(0).shape), of.same_channel(0),
      of.same_channel(1);
  const auto &a = of.in(0).shape, &b = of.in(1).shape;
  std::vector<int> of_channels(a.size(), 1);
  of_channels[of.in().channel] = of.in().channels();
  of.expect(a == b || b == of_channels, "the shapes of its inputs do not fit");
  of.tensor("m", Type::float32, {1});
}

bool scales_channels(const Graph& graph, const Layer& layer) {
  return graph.values[layer.operand(Role::codes)].shape != graph.values[layer.operand(Role::factor)].shape;
}

}  // namespace

std::unique_ptr<KernelStep<ElementwiseParams>> make_mul(const Binding& binding) {
  auto step = make_two(binding, Elementwise::mul, Role::factor);
  step->params.m = floats(*binding.layer.node, "m")[0];
  bind_two(*step);
  return step;
}

extern const Op mul_op = {"mul",
                          {Role::codes, Role::factor},
                          check,
                          [](const Binding& binding) { return one_step(make_mul(binding)); },
                          {.takes_table = true, .scales_channels = scales_channels}};

}  // namespace bitwright
