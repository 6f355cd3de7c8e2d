// Weights for VPMADDUBSW, which adds two products in 16 bits with saturation: two weights of one sign may not exceed 128
// together, as 255 * 128 still fits. What is beyond that in some of 8 channels of a quad becomes a quad of its own, multiplied
// with the same codes; there are as many for each half of a panel as it takes, at most one for each quad.
#pragma once

#include "packing.h"

namespace bitwright {

// Those of one half panel of all groups.
struct Excess {
  int count;
  const int32_t* offsets;  // of the four codes, from the window's first byte
  const int8_t* weights;   // [count][channel in half panel][4]
};

// Of memory that pack_pairs wrote. It begins as pack_quads would leave it.
Excess excess_of(const PackedIgemm& packed, int half_panel);

size_t packed_pairs_bytes(const IgemmParams& p);
void pack_pairs(const IgemmParams& p, const int8_t* weights, void* packed);

}  // namespace bitwright
