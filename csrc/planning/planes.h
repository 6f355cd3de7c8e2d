// Which layers run on bit planes (see bitgemm/bitgemm.h), and which values are kept as such.
#pragma once

#include "planning/layers.h"

namespace bitwright {

// Sets `planes` of values that only such layers read, where what writes them can pack them; of others it adds packed
// copies to the graph and `pack` layers that make them. With `keep_values` there are only copies.
void pack_values(Graph& graph, Layers& layers, Features features, bool keep_values);

// The table in front of bit planes as a comparison: bit = (x >= threshold) ^ flip for x in 0..last.
struct Comparison {
  uint8_t threshold;
  bool flip;
};
bool is_comparison(const uint8_t* table, int last, Comparison& found);

}  // namespace bitwright
