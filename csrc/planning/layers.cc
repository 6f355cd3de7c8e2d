#include "planning/layers.h"

#include <algorithm>

namespace bitwright {

Layers::Layers(const Graph& graph) : writers_(graph.values.size(), layers_.end()), readers_(graph.values.size(), 0) {
  for (const Node& node : graph.nodes) add(layers_.end(), &node);
  for (int output : graph.outputs) ++readers_[output];
}

void Layers::add(Iterator before, const Node* node) {
  size_t values = std::max(writers_.size(), static_cast<size_t>(node->output) + 1);
  writers_.resize(values, layers_.end()), readers_.resize(values, 0);
  writers_[node->output] = layers_.insert(before, {&op_of(*node), node, node->output});
  for (int input : node->inputs) ++readers_[input];
}

void Layers::insert(Iterator before, Node node) {
  nodes_.push_back(std::move(node));
  add(before, &nodes_.back());
}

void Layers::read(Layer& layer, Role role, int value) {
  nodes_.push_back(*layer.node);
  layer.node = &nodes_.back();
  for (size_t i = 0; i < layer.node->inputs.size(); ++i) {
    if (layer.role_of(i) != role) continue;
    int& reads = nodes_.back().inputs[i];
    --readers_[reads], ++readers_[value];
    reads = value;
  }
}

void Layers::write(Iterator layer, int value) {
  writers_[layer->output] = layers_.end();
  writers_[value] = layer;
  layer->output = value;
}

void Layers::erase(Iterator layer) {
  writers_[layer->output] = layers_.end();
  for (int input : layer->node->inputs) --readers_[input];
  layers_.erase(layer);
}

const Layer* Layers::fuse(Iterator layer) {
  writers_[layer->output] = layers_.end();
  fused_.splice(fused_.end(), layers_, layer);
  return &fused_.back();
}

std::vector<int> inputs_of(const Layer& layer) {
  if (!layer.scale) return layer.node->inputs;
  std::vector<int> inputs = layer.scale->node->inputs;  // in place of what it wrote
  for (int input : layer.node->inputs)
    if (input != layer.scale->output) inputs.push_back(input);
  return inputs;
}

}  // namespace bitwright
