#include "kernels/bitpack/bitpack.h"
#include "kernels/rows.h"

namespace bitwright {
namespace {

// Or none, or thresholds in place of tables.
bool has_one_table(const BitpackParams& p) { return p.thresholds || !p.per_channel; }

}  // namespace

KernelTable<BitpackParams> bitpack_kernels() {
  static constexpr KernelRow<BitpackParams> rows[] = {
#define ROW(symbol, name, needs, accepts) {name, needs, accepts, &symbol},
#include "kernels/bitpack/rows.inc"
#undef ROW
  };
  return rows;
}

const Family bitpack_family("bitpack", bitpack_kernels());

}  // namespace bitwright
