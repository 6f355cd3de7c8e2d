// max_pool2d: the largest code of each window.
#include "ops/pool.h"
#include "ops/window.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.planes(), of.same_codes();
  of.shape(pooled_shape(of, of.attr_within("dilation", 2, 1, kMostWindow)));
}

Steps make(const Binding& binding) { return one_step(make_pool(binding, Pool::max)); }

}  // namespace

extern const Op max_pool2d_op = {
    "max_pool2d", {Role::codes, Role::codes}, check, make, {.takes_table = true, .passes_codes = true}};

}  // namespace bitwright
