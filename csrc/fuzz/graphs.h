// Graphs out of a fuzzer's input: sound ones of every op, and such with something wrong in them.
#pragma once

#include <deque>
#include <vector>

#include "fuzz/choices.h"
#include "model/graph.h"

namespace bitwright::fuzz {

// A graph, and what its tensors point to.
struct Made {
  Graph graph;
  std::deque<std::vector<uint8_t>> memory;

  // Bytes for as many elements as the shape says; the tensor points to them.
  uint8_t* allocate(Tensor& tensor);
};

// A graph that the check accepts, of one to eight nodes and whatever they need.
Made make_graph(Choices& choices);

// The graph with one to three fields drawn anew: a shape, an index, an attribute, a tensor, a name. What was not changed points
// to the memory of `made`.
Made damage(const Made& made, Choices& choices);

// Whether running it takes a moment, and its memory little: what a fuzzer has time for.
bool is_small(const Graph& graph);

}  // namespace bitwright::fuzz
