// group_norm: groups of channels brought to mean 0 and variance 1 over all of a map's pixels.
#include "kernels/norm/norm.h"

#include "ops/check.h"
#include "ops/kernel_step.h"
#include "ops/norm.h"

namespace bitwright {
namespace {

constexpr int64_t kMostInGroup = int64_t{1} << 23;  // so that 255 times it fits int32, and 255^2 times its square int64

int groups_of(const Node& node) { return node.attrs.at("groups")[0]; }

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.planes(), of.range(), of.one_zero_point(0), of.shape(of.in().shape);
  int channels = of.in().shape[0], groups = of.attr_within("groups", 1, 1, channels)[0];
  of.expect(channels % groups == 0, "groups does not divide the channels");
  of.expect(of.in().count() / groups <= kMostInGroup, "a sum over a group could overflow int32");
  check_norm(of, channels);
}

Steps make(const Binding& binding) {
  auto step = std::make_unique<KernelStep<NormParams>>(binding);
  const Node& node = *binding.layer.node;
  std::vector<float> m = floats(node, "m"), b = floats(node, "b");
  NormParams& p = step->params;
  p.group = p.in.c / groups_of(node);
  p.e = floats(node, "e")[0];
  p.epilogue = step->epilogue(m, b);
  p.epilogue.narrow = is_narrow_norm(m, b);
  step->bind(norm_kernels());
  return one_step(std::move(step));
}

}  // namespace

extern const Op group_norm_op = {"group_norm", {Role::codes, Role::codes}, check, make, {.takes_table = true}};

}  // namespace bitwright
