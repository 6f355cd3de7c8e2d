#include "ops/pool.h"

#include "ops/window.h"

namespace bitwright {
namespace {

std::vector<int> checked_shape(const NodeCheck& of, const std::vector<int>& dilation) {
  auto size = checked_size(of, of.attr_within("kernel", 2, 1, kMostWindow), dilation);
  return {of.in().shape[0], size[0], size[1]};
}

void check_max(const NodeCheck& of) {
  of.inputs(1, 1), of.planes(), of.same_codes();
  of.shape(checked_shape(of, of.attr_within("dilation", 2, 1, kMostWindow)));
}

void check_average(const NodeCheck& of) {
  of.inputs(1, 1), of.planes(), of.one_zero_point(0);
  auto shape = checked_shape(of, {1, 1});
  of.shape(shape);
  const Tensor* m = of.find("m");
  bool shared = m && m->shape == std::vector<int64_t>{1, 1};
  of.tensor("m", Type::float32, shared ? std::vector<int64_t>{1, 1} : std::vector<int64_t>{shape[1], shape[2]});
}

void check_global(const NodeCheck& of) {
  of.inputs(1, 1), of.planes(), of.one_zero_point(0);
  const Value& in = of.in();
  of.shape({in.shape[0], 1, 1}), of.tensor("m", Type::float32, {1});
  of.expect(in.count() / in.shape[0] <= INT32_MAX / 255, "an accumulator could overflow int32");
}

template <Pool kPool>
Steps make(const Binding& binding) {
  return one_step(make_pool(binding, kPool));
}

}  // namespace

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

extern const Op max_pool2d_op = {
    "max_pool2d", {Role::codes, Role::codes}, check_max, make<Pool::max>, {.takes_table = true, .passes_codes = true}};
extern const Op avg_pool2d_op = {
    "avg_pool2d", {Role::codes, Role::codes}, check_average, make<Pool::average>, {.takes_table = true}};
extern const Op global_avg_pool2d_op = {"global_avg_pool2d",
                                        {Role::codes, Role::codes},
                                        check_global,
                                        make<Pool::global_average>,
                                        {.takes_table = true, .pools_maps = true}};

}  // namespace bitwright
