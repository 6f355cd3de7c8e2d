// global_avg_pool2d: the mean of each channel.
#include "ops/pool.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.planes(), of.one_zero_point(0);
  const Value& in = of.in();
  of.shape({in.shape[0], 1, 1}), of.tensor("m", Type::float32, {1});
  of.expect(in.count() / in.shape[0] <= INT32_MAX / 255, "an accumulator could overflow int32");
}

Steps make(const Binding& binding) { return one_step(make_pool(binding, Pool::global_average)); }

}  // namespace

extern const Op global_avg_pool2d_op = {
    "global_avg_pool2d", {Role::codes, Role::codes}, check, make, {.takes_table = true, .pools_maps = true}};

}  // namespace bitwright
