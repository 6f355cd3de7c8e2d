#include "kernels/move/move.h"
#include "kernels/rows.h"

namespace bitwright {
namespace {

// Columns lie side by side on both sides.
bool is_runs(const MoveParams& p) {
  const Dim& columns = p.dims[p.rank - 1];
  return !p.fills && columns.in == 1 && columns.out == 1;
}

// Every second to eighth byte of enough to fill vectors, where a transposition would fill less.
bool is_strided(const MoveParams& p) {
  const Dim &rows = p.dims[p.rank - 2], &columns = p.dims[p.rank - 1];
  bool few = rows.in > columns.in || rows.in <= 0 || rows.extent < 16 || columns.in == 2;
  bool many = columns.extent >= 8;
  return !p.fills && columns.out == 1 && columns.in >= 2 && columns.in <= kMostStride && few && many;
}

// Columns lie side by side in the output, rows do so in the input, or nearly: a transposition.
bool is_woven(const MoveParams& p) {
  const Dim& rows = p.dims[p.rank - 2];
  return !p.fills && rows.in >= 1 && rows.in <= kMostStride && p.dims[p.rank - 1].out == 1 && !is_strided(p);
}

// One code over columns that lie side by side.
bool is_fill(const MoveParams& p) { return p.fills && p.dims[p.rank - 1].out == 1; }

}  // namespace
}  // namespace bitwright

#define FAMILY move
#define PARAMS MoveParams
#include "kernels/family.inc"
