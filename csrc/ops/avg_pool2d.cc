// avg_pool2d: the mean of each window.
#include "ops/pool.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.planes(), of.one_zero_point(0);
  auto shape = pooled_shape(of, {1, 1});
  of.shape(shape);
  const Tensor* m = of.find("m");
  bool shared = m && m->shape == std::vector<int64_t>{1, 1};
  of.tensor("m", Type::float32, shared ? std::vector<int64_t>{1, 1} : std::vector<int64_t>{shape[1], shape[2]});
}

Steps make(const Binding& binding) { return one_step(make_pool(binding, Pool::average)); }

}  // namespace

extern const Op avg_pool2d_op = {"avg_pool2d", {Role::codes, Role::codes}, check, make, {.takes_table = true}};

}  // namespace bitwright
