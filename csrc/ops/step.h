// One layer as it runs: a kernel bound to its parameters, weights and values; or a copy.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/memory.h"
#include "kernels/features.h"
#include "model/graph.h"
#include "planning/layout.h"
#include "planning/view.h"

namespace bitwright {

class Step {
 public:
  virtual ~Step() = default;

  // Does units [begin, end); safe to call from several threads at once. Allocates nothing: others wait for the units that it
  // took.
  virtual void run(const Buffers& at, int begin, int end) const noexcept = 0;

  std::string name, op, kernel, isa = "scalar";
  int64_t macs = 0, bytes = 0, weight_bytes = 0;
  int in = 0, second = -1, third = -1, out = 0;  // values
  int units = 1;
  size_t scratch_bytes = 0;
  bool fills_halo = false;  // the first to write its output's buffer
};

// Layer `node` writing `output` (not always node.output: a table may be fused into it).
struct Layer {
  const Node* node;
  int output;
  const Tensor* table;  // fused, or null
  const Layer* scale = nullptr;  // fused: a mul with one factor a channel that writes inputs[0]
  const Layer* pool = nullptr;   // fused: a global_avg_pool2d of the output
  std::optional<View> view;      // of a chain of moves: what its output is of inputs[0], in place of what the node says
};

std::unique_ptr<Step> make_conv2d(const Graph&, const Layout&, const Layer&, Features);
std::unique_ptr<Step> make_linear(const Graph&, const Layout&, const Layer&, Features);
std::unique_ptr<Step> make_pool(const Graph&, const Layout&, const Layer&, Features);
std::unique_ptr<Step> make_elementwise(const Graph&, const Layout&, const Layer&, Features);
std::unique_ptr<Step> make_affine(const Graph&, const Layout&, const Layer&, Features);
std::unique_ptr<Step> make_table(const Graph&, const Layout&, const Layer&, Features);

// To bit planes: a `table` whose output is packed, or op `pack`, which only packs.
std::unique_ptr<Step> make_bitpack(const Graph&, const Layout&, const Layer&, Features);

// Squeeze-and-excite: a 1x1 conv2d and the mul before it, a depthwise conv2d and the global_avg_pool2d behind it.
struct Strips {
  int rows, count;
};
Strips scaled_strips(const Value& x);  // the strips in which a map is scaled and then read
std::unique_ptr<Step> make_scaled(const Graph&, const Layout&, const Layer&, Features);
std::unique_ptr<Step> make_pooled(const Graph&, const Layout&, const Layer&, Features);

// concat, slice, pad, reshape, permute: moves the codes of input `input` of the node to where they belong; of a concat, behind
// `before` others on its axis.
std::unique_ptr<Step> make_copy(const Graph&, const Layout&, const Layer&, int input, int before, Features);

// Writes the codes of a constant where the graph reads them.
std::unique_ptr<Step> make_constant(const Graph&, const Layout&, const Layer&, Features);

// Copies the user's image, C bytes a pixel without gaps, to where the graph reads it.
std::unique_ptr<Step> make_image(const Layout&);

// Whether it is a linear node whose inputs have scales in groups.
bool is_grouped(const Node&);

// Whether it is a conv2d node that computes each output channel from one input channel of its own, stored as codes.
bool is_depthwise(const Graph&, const Node&);

// The halo that the window of a conv2d node needs around its input.
Halo window_halo(const Graph&, const Node&);

}  // namespace bitwright
