// The check that makes a graph safe to plan. Each op checks its nodes; what such checks have in common is here.
#pragma once

#include <string>

#include "model/graph.h"

namespace bitwright {

// Throws std::invalid_argument that names the node unless every index, shape, range and tensor is as docs/arithmetic.md says
// and no accumulator can overflow int32.
void check(const Graph& graph);

constexpr int kMostWindow = 1 << 12;

// One node, and what ops ask of it. Every question throws std::invalid_argument where the answer is no.
class NodeCheck {
 public:
  NodeCheck(const Graph& graph, const Node& node) : node(node), out(graph.values[node.output]), graph_(graph) {}

  const Node& node;
  const Value& out;

  const Value& in(size_t i = 0) const { return graph_.values[node.inputs[i]]; }

  void expect(bool holds, const char* what, const char* which = "") const;
  void inputs(size_t least, size_t most) const;  // so many, all of them codes

  const std::vector<int>& attr(const char* key, size_t count) const;
  const std::vector<int>& attr_within(const char* key, size_t count, int low, int high) const;

  const Tensor* find(const char* key) const;  // null where the node has no such tensor
  const Tensor& tensor(const char* key, Type type, const std::vector<int64_t>& shape) const;  // float32: finite

  void shape(const std::vector<int>& expected) const;  // of the output
  void same_channel(size_t i = 0) const;               // the output has the channel axis of the input
  void planes() const;                                 // the input is C, H, W, and so is the output
  void one_zero_point(size_t i) const;
  void same_codes() const;          // input and output have one type, of one zero point
  void range() const;               // lo and hi are codes of the output
  void residual(size_t i) const;    // where there is such an input
  void nothing_else() const;        // than what its op has: no check looks at it, and planning may

 private:
  const Graph& graph_;
};

}  // namespace bitwright
