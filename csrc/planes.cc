#include "planes.h"

#include <algorithm>

#include "isa.h"

namespace bitwright {
namespace {

constexpr int kMostPlanes = 2;
constexpr int kLeastChannels = 16;  // half a word: with fewer, most of what is counted is padding

bool is_bitwise(const Tensor& weight) {
  auto weights = weight.as<int8_t>();
  return std::all_of(weights.begin(), weights.end(), [](int w) { return w >= -1 && w <= 1; });
}

int planes_of(const Value& value) { return value.max_code == 1 ? 1 : 2; }

// Does counting bits beat multiplying bytes? The tile unit multiplies more bytes than VPOPCNTD counts bits, where pixels are many.
bool is_faster(const Value& in, const Value& out, Isa isa) {
  bool one_pixel = extent(out).h * extent(out).w == 1;
  if (isa == Isa::amx && !one_pixel) return false;
  if (isa >= Isa::avx512vnni) return has_vpopcntdq();
  return isa != Isa::avxvnni || planes_of(in) == 1;
}

bool runs_on_planes(const Graph& graph, const Node& node, Isa isa) {
  if (node.op != "conv2d" && node.op != "linear") return false;
  if (node.op == "conv2d" ? node.attrs.at("groups")[0] != 1 : is_grouped(node)) return false;
  const Value& in = graph.values[node.inputs[0]];
  if (in.max_code >= 1 << kMostPlanes || extent(in).c < kLeastChannels || !is_faster(in, graph.values[node.output], isa)) return false;
  bool one_zero = std::all_of(in.zero_points.begin(), in.zero_points.end(), [&](int z) { return z == in.zero_points[0]; });
  return one_zero && is_bitwise(node.tensors.at("weight"));
}

struct Readers {
  std::vector<Layer*> on_planes;
  bool others = false;
};

Readers readers_of(const Graph& graph, std::list<Layer>& layers, int value, Isa isa) {
  Readers readers;
  readers.others = value == graph.output;
  for (Layer& layer : layers) {
    const auto& inputs = layer.node->inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i] != value) continue;
      if (i == 0 && runs_on_planes(graph, *layer.node, isa))
        readers.on_planes.push_back(&layer);
      else
        readers.others = true;
    }
  }
  return readers;
}

bool all_compare(const Graph& graph, const Node& table) {
  auto codes = table.tensors.at("table").as<uint8_t>();
  Comparison ignored;
  for (size_t i = 0; i < codes.size(); i += 256)
    if (!is_comparison(codes.data() + i, graph.values[table.inputs[0]].max_code, ignored)) return false;
  return true;
}

}  // namespace

bool is_comparison(const uint8_t* table, int last, Comparison& found) {
  int changes = 0;
  found = {0, table[0] == 0};
  for (int x = 1; x <= last; ++x) {
    if (table[x] == table[x - 1]) continue;
    ++changes;
    found = {static_cast<uint8_t>(x), table[x] == 0};
  }
  return changes <= 1;
}

void pack_values(Graph& graph, std::list<Layer>& layers, std::list<Node>& nodes, Isa isa, bool keep_values) {
  int count = static_cast<int>(graph.values.size());
  for (int value = 0; value < count; ++value) {
    if (graph.values[value].is_float) continue;
    Readers readers = readers_of(graph, layers, value, isa);
    if (readers.on_planes.empty()) continue;
    int planes = planes_of(graph.values[value]);
    auto writes = [&](int wanted) { return [wanted](const Layer& layer) { return layer.output == wanted; }; };
    auto writer = std::find_if(layers.begin(), layers.end(), writes(value));
    bool packs = writer != layers.end() && (writer->node->op == "table" || runs_on_planes(graph, *writer->node, isa));
    if (packs && !readers.others && !keep_values) {
      graph.values[value].planes = planes;
      if (writer->node->op != "table" || planes != 1) continue;
      // table(f(x)) of one bit, which nothing else reads, is a comparison that f can do.
      int source = writer->node->inputs[0];
      auto before = std::find_if(layers.begin(), layers.end(), writes(source));
      auto reads = [&](const Layer& layer) { return std::count(layer.node->inputs.begin(), layer.node->inputs.end(), source); };
      if (before == layers.end() || before->table || before->node->inputs.size() != 1 || source == graph.output ||
          std::count_if(layers.begin(), layers.end(), reads) != 1)
        continue;
      if (!runs_on_planes(graph, *before->node, isa) || !all_compare(graph, *writer->node)) continue;
      before->table = &writer->node->tensors.at("table");
      before->output = value;
      layers.erase(writer);
      continue;
    }
    Value copy = graph.values[value];
    copy.planes = planes;
    int packed = static_cast<int>(graph.values.size());
    graph.values.push_back(copy);
    Node pack;
    pack.op = "pack", pack.name = writer == layers.end() ? "input" : writer->node->name, pack.inputs = {value}, pack.output = packed;
    nodes.push_back(pack);
    layers.insert(writer == layers.end() ? layers.begin() : std::next(writer), {&nodes.back(), packed, nullptr});
    for (Layer* reader : readers.on_planes) {
      nodes.push_back(*reader->node);
      nodes.back().inputs[0] = packed;
      reader->node = &nodes.back();
    }
  }
}

}  // namespace bitwright
