// layer_norm: the channels of each pixel or token brought to mean 0 and variance 1.
#include "kernels/layer_norm/layer_norm.h"

#include "ops/check.h"
#include "ops/kernel_step.h"
#include "ops/norm.h"

namespace bitwright {
namespace {

constexpr int kMostChannels = 1 << 15;  // so that 2^16 times it fits int32, and 2^32 times its square int64

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.range(), of.one_zero_point(0), of.shape(of.in().shape), of.same_channel();
  int channels = of.in().channels();
  of.expect(channels <= kMostChannels, "a sum over the channels could overflow int32");
  check_norm(of, channels);
}

Steps make(const Binding& binding) {
  auto step = std::make_unique<KernelStep<LayerNormParams>>(binding);
  const Node& node = *binding.layer.node;
  std::vector<float> m = floats(node, "m"), b = floats(node, "b");
  LayerNormParams& p = step->params;
  p.e = floats(node, "e")[0];
  p.epilogue = step->epilogue(m, b);
  p.epilogue.narrow = is_narrow_norm(m, b);
  step->bind(layer_norm_kernels());
  return one_step(std::move(step));
}

}  // namespace

extern const Op layer_norm_op = {"layer_norm", {Role::codes, Role::codes}, check, make, {.takes_table = true}};

}  // namespace bitwright
