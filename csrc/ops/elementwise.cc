#include "ops/elementwise.h"

namespace bitwright {

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

void bind_two(KernelStep<ElementwiseParams>& step) {
  ElementwiseParams& p = step.params;
  p.epilogue.narrow = std::max(std::abs(p.m), std::abs(p.m_second)) < 0x1p14f;  // times 255 * 255 at most
  step.bind(elementwise_kernels());
}

std::unique_ptr<KernelStep<ElementwiseParams>> make_affine(const Binding& binding, std::vector<float> m, std::vector<float> b) {
  auto step = std::make_unique<KernelStep<ElementwiseParams>>(binding);
  const Value& in = step->of(Role::codes);
  ElementwiseParams& p = step->params;
  p.op = Elementwise::affine, p.zp = in.zero_point(0);
  m.resize(p.in.c, m[0]);
  b.resize(p.in.c, -0.0f);  // t + -0 is t, for every t
  p.epilogue = step->epilogue(m, b);
  if (in.zero_points.size() > 1) p.zps = step->keep(in.zero_points);
  step->bind(elementwise_kernels());
  return step;
}

}  // namespace bitwright
