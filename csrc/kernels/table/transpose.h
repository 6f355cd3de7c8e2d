// Bytes of several vectors brought to other rows and columns, each 16 bytes of a vector apart from the others.
#pragma once

#include "kernels/unrolled.h"
#include "kernels/vec/vec.h"

namespace bitwright {
namespace {

// A byte's place in kRows rows of 16 is a number of 4 + log2(kRows) bits, the row before the column. Each round makes its
// highest bit its lowest. So four rounds bring the last bits of the column to the row, and those of the row to the column's
// front; of 16 rows this is a transposition. As many more rounds as there are bits of the row bring every byte back.
//
//   4 rows, place r r c c k k    4 rounds    k k r r c c    2 rounds    r r c c k k
template <int kRounds, int kRows>
BITWRIGHT_INLINE inline void turn(Vec::Bytes (&rows)[kRows]) {
  unrolled<kRounds>([&](auto) BITWRIGHT_INLINE {
    Vec::Bytes mixed[kRows];
    unrolled<kRows / 2>([&](auto i) BITWRIGHT_INLINE {
      mixed[2 * i] = Vec::mixed_low(rows[i], rows[kRows / 2 + i]);
      mixed[2 * i + 1] = Vec::mixed_high(rows[i], rows[kRows / 2 + i]);
    });
    unrolled<kRows>([&](auto i) BITWRIGHT_INLINE { rows[i] = mixed[i]; });
  });
}

}  // namespace
}  // namespace bitwright
