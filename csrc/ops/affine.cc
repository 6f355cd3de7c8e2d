// batch_norm and dequantize: each channel times a number, plus a number.
#include "kernels/elementwise/elementwise.h"
#include "ops/check.h"
#include "ops/kernel_step.h"

namespace bitwright {
namespace {

void check_batch_norm(const NodeCheck& of) {
  of.inputs(1, 1), of.range(), of.shape(of.in().shape), of.same_channel();
  of.tensor("m", Type::float32, {of.in().channels()}), of.tensor("b", Type::float32, {of.in().channels()});
}

void check_dequantize(const NodeCheck& of) {
  of.inputs(1, 1), of.shape(of.in().shape), of.same_channel(), of.tensor("m", Type::float32, {1});
  of.expect(of.out.is_float, "expected float32 as output");
}

Steps make_affine(const Binding& binding, std::vector<float> m, std::vector<float> b) {
  auto step = std::make_unique<KernelStep<ElementwiseParams>>(binding);
  const Value& in = step->of(Role::codes);
  ElementwiseParams& p = step->params;
  p.op = Elementwise::affine, p.zp = in.zero_point(0);
  m.resize(p.in.c, m[0]);
  b.resize(p.in.c, -0.0f);  // t + -0 is t, for every t
  p.epilogue = step->epilogue(m, b);
  if (in.zero_points.size() > 1) p.zps = step->keep(in.zero_points);
  step->bind(elementwise_kernels());
  return one_step(std::move(step));
}

Steps make_batch_norm(const Binding& binding) {
  const Node& node = *binding.layer.node;
  return make_affine(binding, floats(node, "m"), floats(node, "b"));
}

Steps make_dequantize(const Binding& binding) { return make_affine(binding, floats(*binding.layer.node, "m"), {}); }

}  // namespace

extern const Op batch_norm_op = {
    "batch_norm", {Role::codes, Role::codes}, check_batch_norm, make_batch_norm, {.takes_table = true}};
extern const Op dequantize_op = {"dequantize", {Role::codes, Role::codes}, check_dequantize, make_dequantize};

}  // namespace bitwright
