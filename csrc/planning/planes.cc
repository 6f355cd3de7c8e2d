#include "planning/planes.h"

#include <algorithm>

namespace bitwright {
namespace {

constexpr int kMostPlanes = 2;
constexpr int kLeastChannels = 16;  // half a word: with fewer, most of what is counted is padding

bool is_bitwise(const Tensor& weight) {
  auto weights = weight.as<int8_t>();
  return std::all_of(weights.begin(), weights.end(), [](int w) { return w >= -1 && w <= 1; });
}

int planes_of(const Value& value) { return value.max_code == 1 ? 1 : 2; }

// Whether counting bits is faster than multiplying bytes. With many pixels, AMX multiplies more bytes than VPOPCNTD counts
// bits; and with VNNI, bytes are faster than two planes that are counted without VPOPCNTD.
bool is_faster(const Value& in, const Value& out, Features features) {
  bool one_pixel = extent(out).h * extent(out).w == 1;
  if (has(features, kAmxInt8) && !one_pixel) return false;
  bool multiplies_bytes = (features & (kAvxVnni | kAvx512Vnni)) && !has(features, kAvx512Vpopcntdq);
  return !multiplies_bytes || planes_of(in) == 1;
}

bool runs_on_planes(const Graph& graph, const Layer& layer, Features features) {
  const Node& node = *layer.node;
  auto is_dense = layer.op->traits.is_dense;
  if (!is_dense || !is_dense(node)) return false;
  const Value& in = graph.values[layer.operand(Role::codes)];
  if (in.max_code >= 1 << kMostPlanes || extent(in).c < kLeastChannels || !is_faster(in, graph.values[node.output], features))
    return false;
  bool one_zero = std::all_of(in.zero_points.begin(), in.zero_points.end(), [&](int z) { return z == in.zero_points[0]; });
  return one_zero && is_bitwise(node.tensors.at("weight"));
}

// For each value, the layers that read it as what they multiply, and can do so from bit planes.
std::vector<std::vector<Layer*>> readers_on_planes(const Graph& graph, Layers& layers, Features features) {
  std::vector<std::vector<Layer*>> readers(graph.values.size());
  for (Layer& layer : layers)
    if (runs_on_planes(graph, layer, features)) readers[layer.operand(Role::codes)].push_back(&layer);
  return readers;
}

bool all_compare(const Graph& graph, const Layer& table) {
  auto codes = table.node->tensors.at("table").as<uint8_t>();
  Comparison ignored;
  for (size_t i = 0; i < codes.size(); i += 256)
    if (!is_comparison(codes.data() + i, graph.values[table.operand(Role::codes)].max_code, ignored)) return false;
  return true;
}

// table(f(x)) of one bit, which nothing else reads, is a comparison that f can do.
void fuse_comparison(const Graph& graph, Layers& layers, Layers::Iterator table, Features features) {
  int source = table->operand(Role::codes), value = table->output;
  auto before = layers.writer(source);
  if (before == layers.end() || before->table || before->node->inputs.size() != 1 || layers.readers(source) != 1) return;
  if (!runs_on_planes(graph, *before, features) || !all_compare(graph, *table)) return;
  before->table = &table->node->tensors.at("table");
  layers.erase(table);
  layers.write(before, value);
}

// A copy of the value as bit planes, and the layer that makes it.
void add_packed(Graph& graph, Layers& layers, int value, int planes, const std::vector<Layer*>& readers) {
  Value copy = graph.values[value];
  copy.planes = planes;
  int packed = static_cast<int>(graph.values.size());
  graph.values.push_back(copy);
  auto writer = layers.writer(value);
  Node pack;
  pack.op = "pack", pack.name = writer == layers.end() ? "input" : writer->node->name, pack.inputs = {value},
  pack.output = packed;
  layers.insert(writer == layers.end() ? layers.begin() : std::next(writer), pack);
  for (Layer* reader : readers) layers.read(*reader, Role::codes, packed);
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

void pack_values(Graph& graph, Layers& layers, Features features, bool keep_values) {
  auto readers = readers_on_planes(graph, layers, features);
  for (int value = 0; value < static_cast<int>(readers.size()); ++value) {
    if (readers[value].empty()) continue;
    int planes = planes_of(graph.values[value]);
    auto writer = layers.writer(value);
    bool packs = writer != layers.end() && (writer->op->traits.is_table || runs_on_planes(graph, *writer, features));
    bool others = layers.readers(value) != static_cast<int>(readers[value].size());
    if (!packs || others || keep_values) {
      add_packed(graph, layers, value, planes, readers[value]);
      continue;
    }
    graph.values[value].planes = planes;
    if (writer->op->traits.is_table && planes == 1) fuse_comparison(graph, layers, writer, features);
  }
}

}  // namespace bitwright
