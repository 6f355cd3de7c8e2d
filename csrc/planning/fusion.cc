#include "planning/fusion.h"

#include "ops/squeeze.h"
#include "planning/parts.h"

namespace bitwright {
namespace {

// linear(reshape(x)) with x of shape C, H, W reads x itself.
void fuse_flattens(const Graph& graph, Layers& layers) {
  for (Layer& layer : layers) {
    const Traits& traits = layer.op->traits;
    if (!traits.is_dense || !traits.is_dense(*layer.node)) continue;
    auto before = layers.writer(layer.operand(Role::codes));
    if (before == layers.end() || !before->op->traits.view) continue;
    int source = before->operand(Role::codes);
    const Value &map = graph.values[source], &flat = graph.values[before->output];
    if (map.shape.size() != 3 || map.channel != 0 || flat.shape.size() != 1) continue;
    layers.read(layer, Role::codes, source);
  }
}

// Does it move no byte, or only skip some?
bool is_free(const Graph& graph, const Layer& layer) {
  if (layer.view) return false;
  for (const Part& part : parts_of(graph, layer))
    if (is_whole(part) || joins_channels(graph, part) || joins_pixels(graph, part)) return true;
  return false;
}

// The last of a chain of moves does them all, where nothing else reads a value in between.
void fuse_moves(const Graph& graph, Layers& layers) {
  std::vector<int64_t> taken(graph.values.size(), 0);  // elements that moves read of each value
  std::vector<int> others(graph.values.size());        // how many other nodes read it
  for (size_t i = 0; i < others.size(); ++i) others[i] = layers.readers(static_cast<int>(i));
  for (const Layer& layer : layers) {
    if (!layer.op->traits.view) continue;
    int in = layer.operand(Role::codes);
    taken[in] += graph.values[layer.output].count(), --others[in];
  }
  std::vector<std::optional<View>> views(graph.values.size());
  for (Layer& layer : layers) {
    auto view = layer.op->traits.view;
    if (!view) continue;
    int in = layer.operand(Role::codes);
    const Value &from = graph.values[in], &to = graph.values[layer.output];
    bool passes = views[in] && others[in] == 0 && taken[in] <= from.count() && !is_free(graph, *layers.writer(in));
    if (passes) layer.view = view(*views[in], *layer.node, to.shape);
    views[layer.output] = layer.view ? layer.view : view(View(in, from.shape), *layer.node, to.shape);
    if (layer.view) layers.read(layer, Role::codes, layer.view->source());
  }
}

void drop_unread(Layers& layers) {
  for (auto layer = layers.end(); layer != layers.begin();) {
    auto last = std::prev(layer);
    if (layers.readers(last->output) > 0)
      layer = last;
    else
      layers.erase(last);
  }
}

// table(f(x)), where nothing else reads f(x), is done by f as it stores.
void fuse_tables(Layers& layers) {
  for (auto layer = layers.begin(); layer != layers.end();) {
    auto table = layer++;
    if (!table->op->traits.is_table) continue;
    const Tensor& codes = table->node->tensors.at("table");
    int source = table->operand(Role::codes), output = table->output;
    auto before = layers.writer(source);
    bool can = codes.shape.size() == 1 && before != layers.end() && !before->table && layers.readers(source) == 1 &&
               before->op->traits.takes_table;
    if (!can) continue;
    before->table = &codes;
    layers.erase(table);
    layers.write(before, output);
  }
}

// conv(mul(x, one factor a channel)), with a window of one pixel, multiplies the pixels that it reads next.
void fuse_scales(const Graph& graph, Layers& layers, int threads) {
  for (Layer& layer : layers) {
    int codes = layer.operand(Role::codes);
    auto is_pointwise = layer.op->traits.is_pointwise;
    if (!is_pointwise || graph.values[codes].planes || !is_pointwise(*layer.node)) continue;
    auto before = layers.writer(codes);
    if (before == layers.end() || !before->op->traits.scales_channels || layers.readers(codes) != 1) continue;
    if (!before->op->traits.scales_channels(graph, *before)) continue;
    if (scales_in_strips(graph.values[before->operand(Role::codes)], threads)) layer.scale = layers.fuse(before);
  }
}

// A global pool of what a depthwise convolution writes takes each block of channels once it is there. Nobody would fill a
// halo around it: a step fills that of its output.
void fuse_pools(const Graph& graph, Layers& layers, const Layout& layout, int threads) {
  for (auto layer = layers.begin(); layer != layers.end();) {
    auto pool = layer++;
    if (!pool->op->traits.pools_maps || layout.has_halo(pool->output)) continue;
    auto before = layers.writer(pool->operand(Role::codes));
    if (before == layers.end() || before->pool || !before->op->traits.is_depthwise) continue;
    if (!before->op->traits.is_depthwise(graph, *before)) continue;
    if (pools_in_blocks(graph.values[before->output], threads)) before->pool = layers.fuse(pool);
  }
}

}  // namespace

void fuse_layers(const Graph& graph, Layers& layers) {
  fuse_flattens(graph, layers);
  fuse_moves(graph, layers);
  drop_unread(layers);
  fuse_tables(layers);
}

void fuse_squeezes(const Graph& graph, Layers& layers, const Layout& layout, Features features, int threads) {
  if (!has(features, kAmxInt8)) fuse_scales(graph, layers, threads);  // not measured there
  fuse_pools(graph, layers, layout, threads);
}

}  // namespace bitwright
