// table: codes looked up; and pack, which planning makes: codes as bit planes, looked up before where a table's output is
// packed.
#include "kernels/table/table.h"

#include "kernels/bitpack/bitpack.h"
#include "ops/check.h"
#include "ops/kernel_step.h"
#include "planning/planes.h"

namespace bitwright {
namespace {

bool is_per_channel(const Node& node) { return node.tensors.at("table").shape.size() == 2; }

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.shape(of.in().shape), of.same_channel();
  of.expect(!of.out.is_float, "expected codes as output");
  const Tensor* found = of.find("table");
  bool shared = found && found->shape.size() == 1;
  std::vector<int64_t> dims = shared ? std::vector<int64_t>{256} : std::vector<int64_t>{of.in().channels(), 256};
  for (uint8_t code : of.tensor("table", Type::uint8, dims).as<uint8_t>())
    of.expect(code <= of.out.max_code, "the table holds a code that the output has not");
}

Steps make_pack(const Binding& binding) {
  auto step = std::make_unique<KernelStep<BitpackParams>>(binding);
  BitpackParams& p = step->params;
  p.planes = step->of(Role::output).planes, p.table = step->table();
  p.per_channel = p.table && is_per_channel(*binding.layer.node);
  int last = step->of(Role::codes).max_stored();
  std::vector<uint8_t> thresholds((p.out.c + 63) / 64 * 64), identity(256, 1);
  std::vector<uint32_t> flips(thresholds.size() / 32);
  identity[0] = 0;
  bool compares = p.planes == 1;
  for (int c = 0; c < p.out.c && compares; ++c) {
    Comparison found = {};
    compares = is_comparison(p.table ? p.table + (p.per_channel ? 256 * c : 0) : identity.data(), last, found);
    thresholds[c] = found.threshold;
    flips[c / 32] |= uint32_t{found.flip} << c % 32;
  }
  if (compares) p.thresholds = step->keep(thresholds), p.flips = step->keep(flips);
  step->bind(bitpack_kernels());
  return one_step(std::move(step));
}

Steps make_table(const Binding& binding) {
  if (binding.graph.values[binding.layer.output].planes) return make_pack(binding);
  auto step = std::make_unique<KernelStep<TableParams>>(binding);
  step->params.table = step->table(), step->params.per_channel = is_per_channel(*binding.layer.node);
  step->bind(table_kernels());
  return one_step(std::move(step));
}

}  // namespace

extern const Op table_op = {"table", {Role::codes, Role::codes}, check, make_table, {.is_table = true, .passes_codes = true}};
extern const Op pack_op = {"pack", {Role::codes, Role::codes}, nullptr, make_pack};

}  // namespace bitwright
