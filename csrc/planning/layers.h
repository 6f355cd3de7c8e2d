// The layers of a plan in the order in which they run, and who writes and who reads each value. Kept up to date with every
// change, so that planning takes the same time for each layer, however many there are.
#pragma once

#include <list>
#include <vector>

#include "ops/op.h"

namespace bitwright {

class Layers {
 public:
  using Iterator = std::list<Layer>::iterator;

  explicit Layers(const Graph& graph);
  Layers(const Layers&) = delete;
  Layers& operator=(const Layers&) = delete;

  Iterator begin() { return layers_.begin(); }
  Iterator end() { return layers_.end(); }
  size_t size() const { return layers_.size(); }

  Iterator writer(int value) const { return writers_[value]; }  // end() if no layer does: of the image, or once it is fused
  int readers(int value) const { return readers_[value]; }      // inputs of layers, and the graph's output

  void insert(Iterator before, Node node);        // of a node that is not in the graph
  void read(Layer& layer, Role role, int value);  // its operand of this role is `value` from now on
  void write(Iterator layer, int value);          // its output likewise
  void erase(Iterator layer);
  const Layer* fuse(Iterator layer);  // removes it from the order: another layer does its work and reads its inputs

 private:
  void add(Iterator before, const Node* node);

  std::list<Layer> layers_, fused_;
  std::list<Node> nodes_;  // nodes that planning made
  std::vector<Iterator> writers_;
  std::vector<int> readers_;
};

// What a layer reads, with what is fused into it.
std::vector<int> inputs_of(const Layer& layer);

}  // namespace bitwright
