// add: the sum of two values, element by element.
#include "ops/check.h"
#include "ops/elementwise.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(2, 2), of.range(), of.one_zero_point(0), of.one_zero_point(1), of.shape(of.in(0).shape), of.shape(of.in(1).shape),
      of.same_channel(0), of.same_channel(1);
  of.tensor("m_a", Type::float32, {1}), of.tensor("m_b", Type::float32, {1});
}

Steps make(const Binding& binding) {
  auto step = make_two(binding, Elementwise::add, Role::addend);
  step->params.m = floats(*binding.layer.node, "m_a")[0], step->params.m_second = floats(*binding.layer.node, "m_b")[0];
  bind_two(*step);
  return one_step(std::move(step));
}

}  // namespace

extern const Op add_op = {"add", {Role::codes, Role::addend}, check, make, {.takes_table = true}};

}  // namespace bitwright
