// The table of ops. A row is {name, roles of the operands, check, make, traits}, and lies in the file of the op; to add one,
// write csrc/ops/NAME.cc and its line here.
#include <stdexcept>

#include "ops/op.h"

namespace bitwright {

#define OPS(OP)         \
  OP(add)               \
  OP(attention)         \
  OP(avg_pool2d)        \
  OP(batch_norm)        \
  OP(concat)            \
  OP(constant)          \
  OP(conv2d)            \
  OP(dequantize)        \
  OP(global_avg_pool2d) \
  OP(group_norm)        \
  OP(layer_norm)        \
  OP(linear)            \
  OP(max_pool2d)        \
  OP(mul)               \
  OP(pack)              \
  OP(pad)               \
  OP(permute)           \
  OP(reshape)           \
  OP(slice)             \
  OP(table)

#define DECLARED(name) extern const Op name##_op;
OPS(DECLARED)
#undef DECLARED

#define LISTED(name) &name##_op,
const Op* const kOps[] = {OPS(LISTED)};
#undef LISTED

const Op& op_of(const Node& node) {
  for (const Op* op : kOps)
    if (op->name == node.op) return *op;
  throw std::invalid_argument("node '" + node.name + "' (" + node.op + "): unknown op");
}

}  // namespace bitwright
