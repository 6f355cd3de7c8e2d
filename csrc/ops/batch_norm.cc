// batch_norm: each channel times a number, plus a number.
#include "ops/check.h"
#include "ops/elementwise.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.range(), of.shape(of.in().shape), of.same_channel();
  of.tensor("m", Type::float32, {of.in().channels()}), of.tensor("b", Type::float32, {of.in().channels()});
}

Steps make(const Binding& binding) {
  const Node& node = *binding.layer.node;
  return one_step(make_affine(binding, floats(node, "m"), floats(node, "b")));
}

}  // namespace

extern const Op batch_norm_op = {"batch_norm", {Role::codes, Role::codes}, check, make, {.takes_table = true}};

}  // namespace bitwright
