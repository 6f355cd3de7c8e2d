// Layers that run as part of others: what a neighbour does as it reads or writes needs no pass of its own over memory.
#pragma once

#include "planning/layers.h"

namespace bitwright {

// Removes flattens in front of dense layers, all moves but the last of a chain, what nothing reads, and tables of codes that a
// layer can look up as it stores them.
void fuse_layers(const Graph& graph, Layers& layers);

// Squeeze-and-excite (ops/squeeze.h); `layout` knows the halos.
void fuse_squeezes(const Graph& graph, Layers& layers, const Layout& layout, Features features, int threads);

}  // namespace bitwright
