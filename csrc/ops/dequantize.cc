// dequantize: codes as the numbers that they stand for.
#include "ops/check.h"
#include "ops/elementwise.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.shape(of.in().shape), of.same_channel(), of.tensor("m", Type::float32, {1});
  of.expect(of.out.is_float, "expected float32 as output");
}

Steps make(const Binding& binding) { return one_step(make_affine(binding, floats(*binding.layer.node, "m"), {})); }

}  // namespace

extern const Op dequantize_op = {"dequantize", {Role::codes, Role::codes}, check, make};

}  // namespace bitwright
