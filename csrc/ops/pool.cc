#include "ops/pool.h"

#include "ops/window.h"

namespace bitwright {

std::vector<int> pooled_shape(const NodeCheck& of, const std::vector<int>& dilation) {
  auto size = checked_size(of, of.attr_within("kernel", 2, 1, kMostWindow), dilation);
  return {of.in().shape[0], size[0], size[1]};
}

std::unique_ptr<KernelStep<PoolParams>> make_pool(const Binding& binding, Pool pool) {
  auto step = std::make_unique<KernelStep<PoolParams>>(binding);
  const Node& node = *binding.layer.node;
  const Value& out = binding.graph.values[node.output];
  PoolParams& p = step->params;
  p.pool = pool;
  p.zp = step->of(Role::codes).zero_point(0), p.table = step->table();
  p.to_float = out.is_float;
  if (!out.is_float) p.out_zp = out.shift(), p.hi = static_cast<float>(out.max_code);
  if (p.pool != Pool::global_average) {
    const auto& kernel = node.attrs.at("kernel");
    p.window = window_of(node, kernel[0], kernel[1]);
  }
  if (p.pool != Pool::max) {
    std::vector<float> m = floats(node, "m");
    p.m_per_pixel = m.size() > 1;
    p.m = step->keep(m);
  }
  step->bind(pool_kernels());
  return step;
}

}  // namespace bitwright
