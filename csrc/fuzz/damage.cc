#include <algorithm>
#include <cstring>
#include <iterator>

#include "fuzz/graphs.h"
#include "ops/op.h"

namespace bitwright::fuzz {
namespace {

const std::vector<int> kEdges = {0, 1, -1, 2, 3, 16, 17, 32, 255, 256, 4096, 4097, 1 << 20, 1 << 28, INT32_MAX, INT32_MIN};
const std::vector<const char*> kOps = {
    "add",        "attention",         "avg_pool2d", "batch_norm", "concat",     "constant", "conv2d", "dequantize",
    "group_norm", "global_avg_pool2d", "layer_norm", "linear",     "max_pool2d", "mul",      "pack",   "pad",
    "permute",    "reshape",           "slice",      "table",      "",           "conv3d"};
const std::vector<const char*> kKeys = {"stride", "padding", "dilation", "groups", "kernel", "lo",    "hi",
                                        "axis",   "start",   "stop",     "step",   "dims",   "heads", "shape"};
const std::vector<uint32_t> kFloats = {0,          0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0x00000001,
                                       0x7f7fffff, 0xff7fffff, 0x3f800000, 0x4b000000, 0xcb000000, 0x42fe0000};

int number(Choices& choose, int before) {
  return choose.one_in(2) ? choose.of(kEdges)
                          : static_cast<int>(static_cast<uint32_t>(before) + static_cast<uint32_t>(choose.within(-2, 2)));
}

void numbers(Choices& choose, std::vector<int>& of) {
  int kind = choose.below(4);
  if (kind == 0 && of.size() < 10)
    of.push_back(choose.of(kEdges));
  else if (kind == 1 && !of.empty())
    of.pop_back();
  else if (!of.empty()) {
    int& any = of[choose.below(static_cast<int>(of.size()))];
    any = number(choose, any);
  }
}

void value(Choices& choose, Value& v) {
  switch (choose.below(6)) {
    case 0: return numbers(choose, v.shape);
    case 1: v.channel = number(choose, v.channel); return;
    case 2: v.is_float = !v.is_float; return;
    case 3: v.max_code = number(choose, v.max_code); return;
    case 4: v.step = number(choose, v.step); return;
    default: return numbers(choose, v.zero_points);
  }
}

template <class Map>
auto& any_of(Choices& choose, Map& map) {
  auto found = map.begin();
  std::advance(found, choose.below(static_cast<int>(map.size())));
  return *found;
}

// As nanobind hands it over: whatever the shape is, the bytes are there.
void tensor(Choices& choose, Made& made, Tensor& t) {
  int kind = choose.below(4);
  if (kind == 0) {
    int64_t count = 1;
    if (!t.shape.empty() && choose.one_in(2))
      t.shape[choose.below(static_cast<int>(t.shape.size()))] = choose.below(70);
    else if (t.shape.size() < 6 && choose.one_in(2))
      t.shape.push_back(choose.within(1, 3));
    else if (!t.shape.empty())
      t.shape.pop_back();
    for (int64_t d : t.shape) count *= d;
    if (count > 1 << 18) t.shape = {1};
    std::fill_n(made.allocate(t), t.bytes.size(), static_cast<uint8_t>(choose.below(256)));
  } else if (kind == 1) {
    t.type = static_cast<Type>(choose.below(3));
    std::fill_n(made.allocate(t), t.bytes.size(), static_cast<uint8_t>(choose.below(256)));
  } else if (!t.bytes.empty()) {
    auto& bytes = made.memory.emplace_back(t.bytes.begin(), t.bytes.end());
    size_t place = static_cast<size_t>(choose.below(1 << 16)) % bytes.size();
    if (t.type == Type::float32)
      std::memcpy(bytes.data() + place / 4 * 4, &choose.of(kFloats), 4);
    else
      bytes[place] = static_cast<uint8_t>(choose.below(256));
    t.bytes = bytes;
  }
}

void node(Choices& choose, Made& made, Node& n) {
  int values = static_cast<int>(made.graph.values.size());
  switch (choose.below(9)) {
    case 0: n.op = choose.of(kOps); return;
    case 1:
      if (!n.inputs.empty()) n.inputs[choose.below(static_cast<int>(n.inputs.size()))] = choose.within(-1, values);
      return;
    case 2: n.inputs.push_back(choose.below(values)); return;
    case 3:
      if (!n.inputs.empty()) n.inputs.pop_back();
      return;
    case 4: n.output = choose.within(-1, values); return;
    case 5: n.attrs[choose.of(kKeys)] = {choose.of(kEdges)}; return;
    case 6:
      if (!n.attrs.empty()) numbers(choose, any_of(choose, n.attrs).second);
      return;
    case 7:
      if (!n.tensors.empty() && choose.one_in(4))
        n.tensors.erase(any_of(choose, n.tensors).first);
      else if (!n.attrs.empty() && choose.one_in(4))
        n.attrs.erase(any_of(choose, n.attrs).first);
      return;
    default:
      if (!n.tensors.empty()) tensor(choose, made, any_of(choose, n.tensors).second);
  }
}

void whole(Choices& choose, Graph& graph) {
  switch (choose.below(6)) {
    case 0: return numbers(choose, graph.outputs);
    case 1: return numbers(choose, graph.inputs);
    case 2:
      if (!graph.nodes.empty()) std::swap(graph.nodes[0], graph.nodes[choose.below(static_cast<int>(graph.nodes.size()))]);
      return;
    case 3:
      if (!graph.nodes.empty()) graph.nodes.pop_back();
      return;
    case 4:
      if (graph.encoder)
        graph.encoder->planes = number(choose, graph.encoder->planes);
      else
        graph.encoder = Encoder{"levels", 1, std::vector<uint8_t>(256)};
      return;
    default:
      if (!graph.encoder) return;
      if (choose.one_in(2))
        graph.encoder->name = "nix";
      else
        graph.encoder->table.resize(static_cast<size_t>(choose.below(300)), static_cast<uint8_t>(choose.below(3)));
  }
}

void once(Choices& choose, Made& made) {
  Graph& graph = made.graph;
  int kind = choose.below(8);
  if (kind == 0) return whole(choose, graph);
  if (kind <= 2) return value(choose, graph.values[choose.below(static_cast<int>(graph.values.size()))]);
  if (!graph.nodes.empty()) node(choose, made, graph.nodes[choose.below(static_cast<int>(graph.nodes.size()))]);
}

}  // namespace

Made damage(const Made& made, Choices& choices) {
  Made damaged{made.graph, {}};
  for (int i = choices.within(1, 3); i > 0; --i) once(choices, damaged);
  return damaged;
}

}  // namespace bitwright::fuzz
