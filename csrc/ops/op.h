// What the engine knows about an op: its row in the table of ops.cc. A node's op is looked up once; what planning asks of an
// op is a trait, so no file outside ops/ compares names.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/features.h"
#include "model/graph.h"
#include "planning/layout.h"
#include "planning/view.h"

namespace bitwright {

class NodeCheck;
class Step;
struct Layer;

using Steps = std::vector<std::unique_ptr<Step>>;

// What an operand, which is a value, is to its op.
enum class Role {
  codes,     // what an op computes with, or moves
  residual,  // added in the epilogue
  addend,    // the second summand of an add
  factor,    // the second factor of a mul
  keys,      // what an attention's queries, its codes, are compared with
  values,    // what it takes means of
  summand,   // of a layer norm: added to its codes; the one role that several operands may have
  output,
  pooled,  // a second output: the mean of each channel of `output`
};
constexpr int kRoles = 9;
constexpr int kMostSummands = 64;  // with the codes that they are added to

// A layer, and what binds it to a machine.
struct Binding {
  const Graph& graph;
  const Layout& layout;
  const Layer& layer;
  Features features;
};

// Value `part` has the bytes of elements [first, ...) of `whole` along an axis; or, where the axis is -1, all of its bytes in
// the same order. So one of the two may be a view of the other.
struct Part {
  int part, whole, axis, first;
};

// A trait that is a function is null where the answer is never yes.
struct Traits {
  bool takes_table = false;   // rounds t to a code and stores it, so it can look that up in a table that follows
  bool is_table = false;      // looks codes up and does nothing else
  bool passes_codes = false;  // codes come to its table as its input stores them, not as t rounded
  bool pools_maps = false;    // makes one pixel of a map, each channel by itself
  bool (*is_dense)(const Node&) = nullptr;      // weights [O, ...] multiply all channels of the input, with one scale
  bool (*is_pointwise)(const Node&) = nullptr;  // a dense op that reads each pixel once, for the same one of the output
  bool (*is_depthwise)(const Graph&, const Layer&) = nullptr;     // writes each channel from one of its own, stored as codes
  bool (*scales_channels)(const Graph&, const Layer&) = nullptr;  // multiplies each channel of a map by a factor
  Halo (*halo)(const Graph&, const Layer&) = nullptr;             // what its window needs around its codes
  std::optional<View> (*view)(const View&, const Node&, const std::vector<int>& shape) = nullptr;  // a move of what it is given
  std::vector<Part> (*parts)(const Graph&, const Layer&) = nullptr;  // what need not be copied, if memory is laid out for it
};

struct Op {
  const char* name;
  Role operands[3];  // the roles of its first and its second input, and of all others
  void (*check)(const NodeCheck&);  // throws std::invalid_argument; null for an op that planning alone makes
  Steps (*make)(const Binding&);
  Traits traits = {};
};

// The row of an op; std::invalid_argument where there is none.
const Op& op_of(const Node&);

// A node as it runs: `output` is not always node->output, for a table may be fused into it.
struct Layer {
  const Op* op;
  const Node* node;
  int output;
  const Tensor* table = nullptr;  // fused, or null
  const Layer* scale = nullptr;  // fused: a mul with one factor a channel that writes what this one reads
  const Layer* pool = nullptr;  // fused: a global_avg_pool2d of the output
  std::optional<View> view = {};  // of a chain of moves: what its output is of its input, in place of what the node says

  Role role_of(size_t input) const { return op->operands[std::min<size_t>(input, 2)]; }

  // The value that has this role among the inputs, or -1.
  int operand(Role role) const {
    for (size_t i = 0; i < node->inputs.size(); ++i)
      if (role_of(i) == role) return node->inputs[i];
    return -1;
  }
};

}  // namespace bitwright
