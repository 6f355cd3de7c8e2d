// Moves of elements as loops: for each of a few dimensions an extent and its strides in memory, on both sides. So
// a move is worked out in no time and takes no memory, however many elements it moves.
#pragma once

#include <vector>

#include "kernels/move/move.h"

namespace bitwright {

// One loop over one side.
struct Stride {
  int64_t extent;
  ptrdiff_t bytes;
};

// Where element `position`, counted in row-major order, lies.
ptrdiff_t offset_of(const std::vector<Stride>& side, int64_t position);

// Both sides in row-major order as one list of loops. False where they divide the elements so differently that none exists.
bool paired(const std::vector<Stride>& in, const std::vector<Stride>& out, std::vector<Dim>& dims);

// The same loops in the order of the output's memory, those made one that can be, cut into blocks of a few kilobytes.
MoveParams move_of(std::vector<Dim> dims, ptrdiff_t in, ptrdiff_t out);

}  // namespace bitwright
