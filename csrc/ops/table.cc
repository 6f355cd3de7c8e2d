// table: codes looked up.
#include "kernels/table/table.h"

#include "ops/check.h"
#include "ops/kernel_step.h"
#include "ops/pack.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.shape(of.in().shape), of.same_channel();
  of.expect(!of.out.is_float, "expected codes as output");
  const Tensor* found = of.find("table");
  bool shared = found && found->shape.size() == 1;
  std::vector<int64_t> dims = shared ? std::vector<int64_t>{256} : std::vector<int64_t>{of.in().channels(), 256};
  for (uint8_t code : of.tensor("table", Type::uint8, dims).as<uint8_t>())
    of.expect(code <= of.out.max_code, "the table holds a code that the output has not");
}

Steps make(const Binding& binding) {
  if (binding.graph.values[binding.layer.output].planes) return make_pack(binding);
  auto step = std::make_unique<KernelStep<TableParams>>(binding);
  step->params.table = step->table(), step->params.per_channel = binding.layer.node->tensors.at("table").shape.size() == 2;
  step->bind(table_kernels());
  return one_step(std::move(step));
}

}  // namespace

extern const Op table_op = {"table", {Role::codes, Role::codes}, check, make, {.is_table = true, .passes_codes = true}};

}  // namespace bitwright
