// pack, which planning makes: codes as bit planes, looked up before where it is a table's output that is packed.
#include "ops/pack.h"

#include "kernels/bitpack/bitpack.h"
#include "ops/kernel_step.h"
#include "planning/planes.h"

namespace bitwright {

Steps make_pack(const Binding& binding) {
  auto step = std::make_unique<KernelStep<BitpackParams>>(binding);
  BitpackParams& p = step->params;
  p.planes = step->of(Role::output).planes, p.table = step->table();
  p.per_channel = p.table && binding.layer.node->tensors.at("table").shape.size() == 2;
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

extern const Op pack_op = {"pack", {Role::codes, Role::codes}, nullptr, make_pack};

}  // namespace bitwright
