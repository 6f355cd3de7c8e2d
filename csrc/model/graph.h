// The integer graph as it is handed to the engine.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitwright {

// Codes of 0..max_code with one zero point (the image: one per channel), or float32. A code stands for the number
// step * code - zero_point; step is 2 for binary {-1, +1}, else 1. In memory lies step * code, so kernels see a step of 1;
// or, where planning set `planes`, the code as so many bit planes, packed.
struct Value {
  std::vector<int> shape;  // PyTorch's order, without the batch
  int channel = 0;         // the axis of the channels; in memory a value is pixels of these
  bool is_float = false;
  int max_code = 255;
  int step = 1;
  int planes = 0;
  std::vector<int> zero_points;

  int64_t count() const;
  int channels() const { return shape[channel]; }
  int max_stored() const { return stored_step() * max_code; }
  int stored_step() const { return planes ? 1 : step; }
  // The zero point among the codes: added to t before t is rounded to a code.
  float shift() const { return static_cast<float>(zero_points[0]) / static_cast<float>(step); }
  int zero_point(int channel) const { return zero_points[zero_points.size() == 1 ? 0 : channel]; }
};

enum class Type { int8, uint8, float32 };

struct Tensor {
  std::vector<int64_t> shape;
  Type type = Type::float32;
  std::span<const uint8_t> bytes;  // of whoever made the graph; it must outlive the planning

  template <class T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

// op, attrs and tensors as in docs/arithmetic.md; a scalar attribute is a list of one.
struct Node {
  std::string op;
  std::string name;
  std::vector<int> inputs;
  int output = 0;
  std::map<std::string, std::vector<int>> attrs;
  std::map<std::string, Tensor> tensors;
};

// How the pixels that a caller gives become the bits of the image; see docs/arithmetic.md, "The image as bits".
struct Encoder {
  std::string name;            // "levels", by the table; "dither" or "otsu"
  int planes = 1;              // of each channel of pixels
  std::vector<uint8_t> table;  // of levels: [256][planes], 0 and 1
};

// Nodes are in topological order and each writes a value of its own. `inputs` are the values that no node writes. A plan runs
// graphs of one input: the image, or its bits where there is an encoder.
struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<int> inputs;   // one
  std::vector<int> outputs;  // at least one
  std::optional<Encoder> encoder = {};

  int image() const { return inputs[0]; }
  int pixel_channels() const { return values[image()].channels() / (encoder ? encoder->planes : 1); }
};

// Throws std::invalid_argument unless values are as docs/arithmetic.md says, nodes read what is written before, and each
// value is written once. What an op asks of its node is checked by `check` (ops/check.h).
void check_values(const Graph& graph);

}  // namespace bitwright
