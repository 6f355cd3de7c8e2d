#include "kernels/move/move.h"
#include "kernels/rows.h"

namespace bitwright {
namespace {

// Columns lie side by side on both sides.
bool is_runs(const MoveParams& p) {
  const Dim& columns = p.dims[p.rank - 1];
  return !p.fills && columns.in == 1 && columns.out == 1;
}

// Columns lie side by side in the output, rows do so in the input: a transposition.
bool is_woven(const MoveParams& p) { return !p.fills && p.dims[p.rank - 2].in == 1 && p.dims[p.rank - 1].out == 1; }

}  // namespace

KernelTable<MoveParams> move_kernels() {
  static constexpr KernelRow<MoveParams> rows[] = {
#define ROW(symbol, name, needs, accepts) {name, needs, accepts, &symbol},
#include "kernels/move/rows.inc"
#undef ROW
  };
  return rows;
}

const Family move_family("move", move_kernels());

}  // namespace bitwright
