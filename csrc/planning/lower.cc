#include "planning/lower.h"

#include <atomic>

#include "planning/fusion.h"
#include "planning/parts.h"
#include "planning/planes.h"

namespace bitwright {
namespace {

class Lowering {
 public:
  Lowering(Graph& graph, Features features, bool keep_values, ThreadPool& pool)
      : graph_(graph), features_(features), keep_values_(keep_values), pool_(pool), layers_(graph), layout_(graph) {}

  Lowered run() {
    if (!keep_values_) fuse_layers(graph_, layers_);
    pack_values(graph_, layers_, features_, keep_values_);
    while (layout_.size() < graph_.values.size()) layout_.add_value();
    if (!keep_values_) make_views();
    need_halos();
    if (!keep_values_) make_pixel_views();
    split_moves();
    if (!keep_values_) fuse_squeezes(graph_, layers_, layout_, features_, pool_.threads());
    place_values();
    Steps steps = make_steps();
    return {std::move(steps), std::move(layout_)};
  }

 private:
  // Calls f for each part of a value that need not be a copy: first those that a layer makes of its input, then those that it
  // joins to its output. The image is never a part, for its memory is laid out as it comes.
  template <class F>
  void for_parts(const F& f) {
    for (bool cuts : {true, false})
      for (const Layer& layer : layers_) {
        if (layer.view) continue;
        for (const Part& part : parts_of(graph_, layer))
          if ((part.part == layer.output) == cuts && part.part != graph_.image()) f(part);
      }
  }

  // What moves no byte, or only skips some, needs no copy; a value can be a view of one other only. First those that keep rows.
  void make_views() {
    for_parts([&](const Part& part) {
      if (is_whole(part) ? same_rows(part) : joins_channels(graph_, part))
        layout_.make_view(part.part, part.whole, is_whole(part) ? 0 : part.first);
    });
  }

  // Then those whose pixels lie in rows of another length, which have no room for halos.
  void make_pixel_views() {
    for_parts([&](const Part& part) {
      if (is_whole(part) ? !same_rows(part) : joins_pixels(graph_, part))
        layout_.make_pixel_view(part.part, part.whole,
                                is_whole(part) ? 0 : part.first * pixels_along(graph_.values[part.whole], part.axis));
    });
  }

  bool same_rows(const Part& part) const {
    const Value &first = graph_.values[part.part], &second = graph_.values[part.whole];
    Extent x = extent(first), y = extent(second);
    return x.h == y.h && x.w == y.w && (first.shape.size() == 3) == (second.shape.size() == 3);  // a halo parts two axes only
  }

  void need_halos() {
    for (const Layer& layer : layers_)
      if (layer.op->traits.halo) layout_.need_halo(layer.operand(Role::codes), layer.op->traits.halo(graph_, layer));
  }

  // A reshape whose two shapes have no common loops, [20, 6, 6] to [5, 9, 16], goes by way of one axis of all elements, with
  // which every shape has them: two transpositions take a fraction of the time of single elements.
  void split_moves() {
    for (auto layer = layers_.begin(); layer != layers_.end(); ++layer) {
      if (!layer->op->traits.view || layer->view) continue;
      int in = layer->operand(Role::codes), out = layer->output;
      const Value& from = graph_.values[in];
      if (layer->op->traits.view(View(in, from.shape), *layer->node, graph_.values[out].shape)) continue;
      if (layout_.is_view(out, in) || layout_.is_view(in, out)) continue;
      Value flat = from;
      flat.shape = {static_cast<int>(from.count())}, flat.channel = 0;
      graph_.values.push_back(flat), layout_.add_value();
      Node first = *layer->node;
      first.output = static_cast<int>(graph_.values.size()) - 1;
      layers_.insert(layer, first);
      layers_.read(*layer, Role::codes, first.output);
    }
  }

  void place_values() {
    int step = 0;
    layout_.used(graph_.image(), step++);
    for (const Layer& layer : layers_) {
      for (int input : inputs_of(layer)) layout_.used(input, step);
      if (layer.pool) layout_.used(layer.pool->output, step);
      layout_.used(layer.output, step++);
      if (keep_values_) layout_.keep(layer.output);
    }
    if (keep_values_) layout_.keep(graph_.image());
    for (int output : graph_.outputs) layout_.keep(output);
    layout_.arrange();
  }

  Steps make_steps() {
    Steps steps;
    steps.push_back(graph_.encoder ? make_encoded(layout_, graph_.image(), *graph_.encoder)
                                   : make_image(layout_, graph_.image()));
    for (auto& of_layer : make_layers())
      for (auto& step : of_layer) steps.push_back(std::move(step));
    std::vector<bool> filled(graph_.values.size(), false);
    for (auto& step : steps) {
      int buffer = layout_.location(step->out()).buffer;
      step->fills_halo = !filled[buffer] && layout_.buffer(buffer).halo.any();
      filled[buffer] = true;
    }
    return steps;
  }

  // The steps of each layer; all threads take part, since packing weights is most of the time it takes to load a network.
  std::vector<Steps> make_layers() {
    std::vector<const Layer*> layers;
    for (const Layer& layer : layers_) layers.push_back(&layer);
    std::vector<Steps> steps(layers.size());
    std::atomic<size_t> next{0};
    ThreadPool::Turn(pool_).run([&](int) {
      for (size_t i = next++; i < layers.size(); i = next++)
        steps[i] = layers[i]->op->make({graph_, layout_, *layers[i], features_});
    });
    return steps;
  }

  Graph& graph_;
  Features features_;
  bool keep_values_;
  ThreadPool& pool_;
  Layers layers_;
  Layout layout_;
};

}  // namespace

Lowered lower(Graph& graph, Features features, bool keep_values, ThreadPool& pool) {
  return Lowering(graph, features, keep_values, pool).run();
}

}  // namespace bitwright
