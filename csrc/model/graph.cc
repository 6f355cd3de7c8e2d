#include "model/graph.h"

#include <algorithm>
#include <stdexcept>

namespace bitwright {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 28;

void check_value(const Value& v, int index, bool is_image) {
  auto expect = [&](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument("value " + std::to_string(index) + ": " + what);
  };
  expect(!v.shape.empty() && v.shape.size() <= 8, "expected 1 to 8 dimensions");
  int64_t count = 1;
  for (int d : v.shape) {
    expect(d >= 1 && d <= kMostElements / count, "a dimension is out of range");
    count *= d;
  }
  expect(v.channel >= 0 && v.channel < static_cast<int>(v.shape.size()), "it has no such axis of channels");
  if (v.is_float) return;
  expect(v.max_code >= 1 && v.max_code <= 255, "expected codes of 1 to 8 bits");
  expect(v.step == 1 || (v.step == 2 && v.max_code == 1 && !is_image), "expected a step of 1, or of 2 between two codes");
  expect(v.zero_points.size() == 1 || (is_image && static_cast<int>(v.zero_points.size()) == v.channels()),
         "wrong number of zero points");
  for (int zp : v.zero_points) expect(v.step == 1 ? zp >= 0 && zp <= v.max_code : zp == 1, "a zero point is out of range");
}

}  // namespace

int64_t Value::count() const {
  int64_t n = 1;
  for (int d : shape) n *= d;
  return n;
}

void check_values(const Graph& graph) {
  auto known = [&](int v) { return v >= 0 && v < static_cast<int>(graph.values.size()); };
  bool all_known =
      !graph.values.empty() && !graph.outputs.empty() && std::all_of(graph.outputs.begin(), graph.outputs.end(), known);
  if (!all_known) throw std::invalid_argument("the graph has no such output");
  if (graph.inputs.size() != 1 || !known(graph.inputs[0])) throw std::invalid_argument("expected one input, the image");
  for (int i = 0; i < static_cast<int>(graph.values.size()); ++i) check_value(graph.values[i], i, i == graph.image());
  const Value& image = graph.values[graph.image()];
  if (image.shape.size() != 3 || image.channel != 0) throw std::invalid_argument("expected an image of C, H, W");
  if (image.is_float) throw std::invalid_argument("the image is float32, expected codes");
  std::vector<bool> written(graph.values.size(), false);
  written[graph.image()] = true;
  for (const Node& node : graph.nodes) {
    for (int input : node.inputs)
      if (!known(input) || !written[input])
        throw std::invalid_argument("node '" + node.name + "': it reads a value that is not yet written");
    if (!known(node.output) || written[node.output])
      throw std::invalid_argument("node '" + node.name + "': its output is unknown or written twice");
    written[node.output] = true;
  }
  for (int output : graph.outputs)
    if (!written[output]) throw std::invalid_argument("no node writes the graph's output");
}

}  // namespace bitwright
