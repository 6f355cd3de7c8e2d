// Ops that only move codes: the moves are worked out at load as runs of bytes.
#include <cstring>

#include "step.h"

namespace bitwright {
namespace {

constexpr int kRunsPerUnit = 64;

struct Run {
  int from, to, size;  // from < 0: zero points
};

class CopyStep : public Step {
 public:
  void run(const Buffers& at, int begin, int end) const override {
    size_t last = std::min(runs.size(), static_cast<size_t>(end) * kRunsPerUnit);
    for (size_t i = static_cast<size_t>(begin) * kRunsPerUnit; i < last; ++i) {
      const Run& r = runs[i];
      if (r.from < 0)
        std::memset(at.out + r.to, zero, r.size);
      else
        std::memcpy(at.out + r.to, at.in + r.from, r.size);
    }
  }

  void add(int from, int to) {
    if (!runs.empty()) {
      Run& r = runs.back();
      bool zeros = from < 0 && r.from < 0, bytes = from >= 0 && r.from >= 0 && from == r.from + r.size;
      if (to == r.to + r.size && (zeros || bytes)) {
        ++r.size;
        return;
      }
    }
    runs.push_back({from, to, 1});
  }

  std::vector<Run> runs;
  uint8_t zero = 0;
};

using Index = std::vector<int>;  // one per dimension

int64_t flat(const Index& index, const Index& shape) {
  int64_t n = 0;
  for (size_t d = 0; d < shape.size(); ++d) n = n * shape[d] + index[d];
  return n;
}

Index unflat(int64_t n, const Index& shape) {
  Index index(shape.size());
  for (size_t d = shape.size(); d-- > 0; n /= shape[d]) index[d] = static_cast<int>(n % shape[d]);
  return index;
}

int byte_offset(const Index& index, const Map& map, int64_t position) {
  if (index.size() != 3) return static_cast<int>(position);
  return static_cast<int>(index[1] * map.row + index[2] * map.pixel + index[0]);
}

// Turns the index of an output element into that of input `input`; false if that element is not of this input.
bool source(const Graph& graph, const Node& node, int input, Index& index) {
  const Index &in = graph.values[node.inputs[input]].shape, &out = graph.values[node.output].shape;
  if (node.op == "reshape") {
    index = unflat(flat(index, out), in);
  } else if (node.op == "permute") {
    Index permuted = index;
    for (size_t d = 0; d < in.size(); ++d) permuted[node.attrs.at("dims")[d]] = index[d];
    index = permuted;
  } else if (node.op == "slice") {
    int& i = index[node.attrs.at("axis")[0]];
    i = node.attrs.at("start")[0] + i * node.attrs.at("step")[0];
  } else if (node.op == "concat") {
    int axis = node.attrs.at("axis")[0];
    for (int before = 0; before < input; ++before) index[axis] -= graph.values[node.inputs[before]].shape[axis];
    return index[axis] >= 0 && index[axis] < in[axis];
  } else if (node.op == "pad") {
    for (size_t d = 0; d < in.size(); ++d) {
      index[d] -= node.attrs.at("padding")[2 * d];
      if (index[d] < 0 || index[d] >= in[d]) return false;
    }
  }
  return true;
}

class ImageStep : public Step {
 public:
  void run(const Buffers& at, int begin, int end) const override {
    for (int y = begin; y < end; ++y)
      for (int x = 0; x < (map.pixel == map.c ? 1 : map.w); ++x) {
        size_t size = map.pixel == map.c ? static_cast<size_t>(map.w) * map.c : map.c;
        std::memcpy(at.out + y * map.row + x * map.pixel, at.in + (static_cast<size_t>(y) * map.w + x) * map.c, size);
      }
  }

  Map map = {};
};

}  // namespace

std::unique_ptr<Step> make_copy(const Graph& graph, const Layout& layout, const Layer& layer, int input) {
  auto step = std::make_unique<CopyStep>();
  const Node& node = *layer.node;
  step->name = node.name, step->op = node.op, step->kernel = "copy";
  step->in = node.inputs[input], step->out = layer.output;
  const Value &from = graph.values[step->in], &to = graph.values[step->out];
  const Map &in = layout.place(step->in).map, &out = layout.place(step->out).map;
  step->zero = static_cast<uint8_t>(to.zero_point(0));
  Extent e = extent(to);
  bool spatial = to.shape.size() == 3;
  for (int y = 0; y < e.h; ++y)
    for (int x = 0; x < e.w; ++x)
      for (int c = 0; c < e.c; ++c) {
        Index index = spatial ? Index{c, y, x} : unflat(c, to.shape);
        int target = byte_offset(index, out, c);
        if (source(graph, node, input, index))
          step->add(byte_offset(index, in, flat(index, from.shape)), target);
        else if (node.op == "pad")
          step->add(-1, target);
      }
  step->units = static_cast<int>((step->runs.size() + kRunsPerUnit - 1) / kRunsPerUnit);
  step->bytes = from.count() + to.count();
  return step;
}

std::unique_ptr<Step> make_image(const Layout& layout) {
  auto step = std::make_unique<ImageStep>();
  step->name = step->op = "image", step->kernel = "copy";
  step->map = layout.place(0).map;
  step->units = step->map.h;
  step->bytes = 2 * static_cast<int64_t>(step->map.h) * step->map.w * step->map.c;
  step->in = -1, step->out = 0;
  return step;
}

}  // namespace bitwright
