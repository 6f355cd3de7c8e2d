#include "planning/lower.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string_view>

#include "kernels/pool/pool.h"
#include "planning/layers.h"
#include "planning/planes.h"

namespace bitwright {
namespace {

bool any_of(std::string_view op, std::initializer_list<std::string_view> ops) {
  for (auto candidate : ops)
    if (op == candidate) return true;
  return false;
}

bool is_pointwise(const Node& conv) {
  auto all = [&](const char* key, int wanted) {
    auto found = conv.attrs.find(key);
    return found == conv.attrs.end() ||
           std::all_of(found->second.begin(), found->second.end(), [=](int n) { return n == wanted; });
  };
  const auto& shape = conv.tensors.at("weight").shape;
  return shape[2] == 1 && shape[3] == 1 && all("stride", 1) && all("padding", 0) && all("groups", 1);
}

// The axes of a value from the outermost in memory to the innermost, as they step through the elements of another: those of one
// element are left out, and neighbours that step as one are one.
struct Digit {
  int size;
  int64_t step;
  bool operator==(const Digit&) const = default;
};

std::vector<Digit> memory_order(const Value& value, const std::vector<int64_t>& steps) {
  std::vector<Digit> digits;
  auto add = [&](size_t axis) {
    if (value.shape[axis] == 1) return;
    if (!digits.empty() && digits.back().step == steps[axis] * value.shape[axis])
      digits.back() = {digits.back().size * value.shape[axis], steps[axis]};
    else
      digits.push_back({value.shape[axis], steps[axis]});
  };
  for (size_t axis = 0; axis < value.shape.size(); ++axis)
    if (static_cast<int>(axis) != value.channel) add(axis);
  add(value.channel);
  return digits;
}

std::vector<int64_t> row_major(const std::vector<int>& shape) {
  std::vector<int64_t> steps(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) steps[d - 1] = steps[d] * shape[d];
  return steps;
}

// Is it a reshape or permute whose result has pixels of as many channels, with the same bytes in the same order?
bool keeps_order(const Node& node, const std::vector<Value>& values) {
  if (node.op != "reshape" && node.op != "permute") return false;
  const Value &in = values[node.inputs[0]], &out = values[node.output];
  if (in.channels() != out.channels()) return false;
  std::vector<int64_t> steps = row_major(in.shape), moved = node.op == "reshape" ? row_major(out.shape) : steps;
  if (node.op == "permute")
    for (size_t d = 0; d < steps.size(); ++d) moved[d] = steps[node.attrs.at("dims")[d]];
  return memory_order(in, steps) == memory_order(out, moved);
}

constexpr int64_t kL1Bytes = 32 << 10;

class Lowering {
 public:
  Lowering(Graph& graph, Features features, bool keep_values, ThreadPool& pool)
      : graph_(graph), features_(features), keep_values_(keep_values), pool_(pool), layers_(graph), layout_(graph) {}

  Lowered run() {
    if (!keep_values_) fuse_flattens(), fuse_moves(), drop_unread(), fuse_tables();
    pack_values(graph_, layers_, features_, keep_values_);
    while (layout_.size() < graph_.values.size()) layout_.add_value();
    if (!keep_values_) make_views();
    need_halos();
    if (!keep_values_) make_pixel_views();
    if (!keep_values_) fuse_scales(), fuse_pools();
    place_values();
    std::vector<std::unique_ptr<Step>> steps = make_steps();
    return {std::move(steps), std::move(layout_)};
  }

 private:
  // linear(reshape(x)) with x of shape C, H, W reads x itself.
  void fuse_flattens() {
    for (Layer& layer : layers_) {
      if (layer.node->op != "linear") continue;
      auto before = layers_.writer(layer.node->inputs[0]);
      if (before == layers_.end() || before->node->op != "reshape") continue;
      int source = before->node->inputs[0];
      const Value &map = graph_.values[source], &flat = graph_.values[before->output];
      if (map.shape.size() != 3 || map.channel != 0 || flat.shape.size() != 1) continue;
      if (is_grouped(*layer.node)) continue;  // its groups are of inputs in PyTorch's order
      layers_.read(layer, 0, source);
    }
  }

  // Of a chain of moves the last does them all, where nothing else needs what lies between.
  void fuse_moves() {
    std::vector<int64_t> taken(graph_.values.size(), 0);  // by moves, of each value
    std::vector<int> others(graph_.values.size());        // that read it, too
    for (size_t i = 0; i < others.size(); ++i) others[i] = layers_.readers(static_cast<int>(i));
    for (const Layer& layer : layers_)
      if (is_move(layer)) taken[layer.node->inputs[0]] += graph_.values[layer.output].count(), --others[layer.node->inputs[0]];
    std::vector<std::optional<View>> views(graph_.values.size());
    for (Layer& layer : layers_) {
      if (!is_move(layer)) continue;
      int in = layer.node->inputs[0];
      const Value &from = graph_.values[in], &to = graph_.values[layer.output];
      bool passes = views[in] && others[in] == 0 && taken[in] <= from.count() && !is_free(*layers_.writer(in));
      if (passes) layer.view = views[in]->after(*layer.node, to.shape);
      views[layer.output] = layer.view ? layer.view : View(in, from.shape).after(*layer.node, to.shape);
      if (layer.view) layers_.read(layer, 0, layer.view->source());
    }
  }

  static bool is_move(const Layer& layer) { return any_of(layer.node->op, {"reshape", "permute", "slice"}); }

  // Does it move no byte, or only skip some?
  bool is_free(const Layer& layer) const {
    const Node& node = *layer.node;
    int in = node.inputs[0], out = layer.output;
    if (layer.view || keeps_order(node, graph_.values)) return !layer.view;
    return node.op == "slice" && node.attrs.at("step")[0] == 1 &&
           (joins_channels(node, in, out) || joins_pixels(node, in, out));
  }

  void drop_unread() {
    for (auto layer = layers_.end(); layer != layers_.begin();) {
      auto last = std::prev(layer);
      if (layers_.readers(last->output) > 0)
        layer = last;
      else
        layers_.erase(last);
    }
  }

  // table(f(x)), where nothing else reads f(x), is done by f as it stores.
  void fuse_tables() {
    for (auto layer = layers_.begin(); layer != layers_.end();) {
      auto table = layer++;
      const Node& node = *table->node;
      if (node.op != "table" || node.tensors.at("table").shape.size() != 1) continue;
      auto before = layers_.writer(node.inputs[0]);
      bool can = before != layers_.end() && !before->table && layers_.readers(node.inputs[0]) == 1 &&
                 any_of(before->node->op,
                        {"conv2d", "linear", "batch_norm", "add", "mul", "max_pool2d", "avg_pool2d", "global_avg_pool2d"});
      if (!can) continue;
      before->table = &node.tensors.at("table");
      int output = table->output;
      layers_.erase(table);
      layers_.write(before, output);
    }
  }

  // conv(mul(x, one factor a channel)), with a window of one pixel, multiplies the pixels that it reads next.
  void fuse_scales() {
    if (has(features_, kAmxInt8)) return;  // not measured there
    for (Layer& layer : layers_) {
      const Node& node = *layer.node;
      if (node.op != "conv2d" || graph_.values[node.inputs[0]].planes || !is_pointwise(node)) continue;
      auto before = layers_.writer(node.inputs[0]);
      if (before == layers_.end() || before->node->op != "mul" || layers_.readers(before->output) != 1) continue;
      const Value &x = graph_.values[before->node->inputs[0]], &factor = graph_.values[before->node->inputs[1]];
      if (x.shape == factor.shape || scaled_strips(x).count < pool_.threads()) continue;
      layer.scale = layers_.fuse(before);
    }
  }

  // A global pool of what a depthwise convolution writes takes each block of channels once it is there. Nobody would fill a
  // halo around it: a step fills that of its `out`.
  void fuse_pools() {
    for (auto layer = layers_.begin(); layer != layers_.end();) {
      auto pool = layer++;
      if (pool->node->op != "global_avg_pool2d" || layout_.has_halo(pool->output)) continue;
      auto before = layers_.writer(pool->node->inputs[0]);
      if (before == layers_.end() || before->pool || !is_depthwise(graph_, *before->node) || !goes_by_channels(before->output))
        continue;
      before->pool = layers_.fuse(pool);
    }
  }

  // Does a block of channels stay in L1, and do blocks spread evenly over threads?
  bool goes_by_channels(int value) const {
    Extent e = extent(graph_.values[value]);
    int threads = pool_.threads(), blocks = (e.c + kPoolBlock - 1) / kPoolBlock;
    int most = (blocks + threads - 1) / threads * kPoolBlock;  // channels of a thread
    return int64_t{e.h} * e.w * kPoolBlock <= kL1Bytes && (threads == 1 || 4 * most * threads <= 5 * e.c);
  }

  // What moves no byte, or only skips some, needs no copy; a value can be a view of one other only. First those that keep rows.
  void make_views() {
    for (const Layer& layer : layers_) {
      const Node& node = *layer.node;
      if (node.inputs.empty()) continue;
      int in = node.inputs[0];
      if (layer.view) continue;
      if (keeps_order(node, graph_.values) && same_rows(in, layer.output))
        layout_.make_view(layer.output, in, 0);
      else if (node.op == "slice" && node.attrs.at("step")[0] == 1 && joins_channels(node, in, layer.output))
        layout_.make_view(layer.output, in, node.attrs.at("start")[0]);
    }
    for (const Layer& layer : layers_) {
      if (layer.node->op != "concat") continue;
      for_parts(layer, [&](int part, int offset) {
        if (part != 0 && joins_channels(*layer.node, part, layer.output)) layout_.make_view(part, layer.output, offset);
      });
    }
  }

  // Then those whose pixels lie in rows of another length, which have no room for halos.
  void make_pixel_views() {
    for (const Layer& layer : layers_) {
      const Node& node = *layer.node;
      if (node.inputs.empty()) continue;
      int in = node.inputs[0];
      if (layer.view) continue;
      if (keeps_order(node, graph_.values) && !same_rows(in, layer.output))
        layout_.make_pixel_view(layer.output, in, 0);
      else if (node.op == "slice" && node.attrs.at("step")[0] == 1 && joins_pixels(node, in, layer.output))
        layout_.make_pixel_view(layer.output, in, node.attrs.at("start")[0] * pixels_of_one(node, in));
    }
    for (const Layer& layer : layers_) {
      if (layer.node->op != "concat") continue;
      for_parts(layer, [&](int part, int offset) {
        if (part != 0 && joins_pixels(*layer.node, part, layer.output)) layout_.make_pixel_view(part, layer.output, offset);
      });
    }
  }

  bool same_rows(int a, int b) const {
    const Value &first = graph_.values[a], &second = graph_.values[b];
    Extent x = extent(first), y = extent(second);
    return x.h == y.h && x.w == y.w && (first.shape.size() == 3) == (second.shape.size() == 3);  // a halo parts two axes only
  }

  // A slice or concat along the channels: those of the part lie side by side in each pixel of the whole.
  bool joins_channels(const Node& node, int in, int out) const {
    return node.attrs.at("axis")[0] == graph_.values[in].channel && graph_.values[in].channel == graph_.values[out].channel;
  }

  // A slice or concat along the outermost axis of pixels: those of the part follow each other.
  bool joins_pixels(const Node& node, int in, int out) const {
    const Value& value = graph_.values[in];
    int axis = node.attrs.at("axis")[0];
    bool outermost = axis != value.channel && value.channel == graph_.values[out].channel;
    for (int d = 0; d < axis; ++d) outermost = outermost && (d == value.channel || value.shape[d] == 1);
    return outermost;
  }

  // How many pixels one index of the node's axis stands for.
  int pixels_of_one(const Node& node, int value) const {
    const Value& v = graph_.values[value];
    return static_cast<int>(v.count() / v.channels() / v.shape[node.attrs.at("axis")[0]]);
  }

  // Calls f(part, where it begins): at a channel, or at a pixel.
  template <class F>
  void for_parts(const Layer& concat, const F& f) const {
    int axis = concat.node->attrs.at("axis")[0], offset = 0;
    for (int part : concat.node->inputs) {
      f(part, offset);
      const Value& v = graph_.values[part];
      offset += axis == v.channel ? v.channels() : v.shape[axis] * pixels_of_one(*concat.node, part);
    }
  }

  void need_halos() {
    for (const Layer& layer : layers_)
      if (layer.node->op == "conv2d") layout_.need_halo(layer.node->inputs[0], window_halo(graph_, *layer.node));
  }

  void place_values() {
    int step = 0;
    layout_.used(0, step++);
    for (const Layer& layer : layers_) {
      for (int input : inputs_of(layer)) layout_.used(input, step);
      if (layer.pool) layout_.used(layer.pool->output, step);
      layout_.used(layer.output, step++);
      if (keep_values_) layout_.keep(layer.output);
    }
    if (keep_values_) layout_.keep(0);
    for (int output : graph_.outputs) layout_.keep(output);
    layout_.arrange();
  }

  std::vector<std::unique_ptr<Step>> make_steps() {
    std::vector<std::unique_ptr<Step>> steps;
    steps.push_back(make_image(layout_));
    for (auto& of_layer : make_layers())
      for (auto& step : of_layer) steps.push_back(std::move(step));
    std::vector<bool> filled(graph_.values.size(), false);
    for (auto& step : steps) {
      int buffer = layout_.place(step->out).buffer;
      step->fills_halo = !filled[buffer] && layout_.buffer(buffer).halo.any();
      filled[buffer] = true;
    }
    return steps;
  }

  // The steps of each layer; all threads take part, since packing weights is most of the time it takes to load a network.
  std::vector<std::vector<std::unique_ptr<Step>>> make_layers() {
    std::vector<const Layer*> layers;
    for (const Layer& layer : layers_) layers.push_back(&layer);
    std::vector<std::vector<std::unique_ptr<Step>>> steps(layers.size());
    std::atomic<size_t> next{0};
    ThreadPool::Turn(pool_).run([&](int) {
      for (size_t i = next++; i < layers.size(); i = next++) append(steps[i], *layers[i]);
    });
    return steps;
  }

  void append(std::vector<std::unique_ptr<Step>>& steps, const Layer& layer) const {
    const std::string& op = layer.node->op;
    if (any_of(op, {"reshape", "permute", "slice", "pad", "concat"})) {
      int i = 0, axis = op == "concat" ? layer.node->attrs.at("axis")[0] : 0, before = 0;
      auto copy = [&](int input, int offset) {
        if (!is_in_place(layer, input, offset)) steps.push_back(make_copy(graph_, layout_, layer, i, before, features_));
        ++i, before += graph_.values[input].shape[axis];
      };
      if (op == "concat") return for_parts(layer, copy);
      return copy(layer.node->inputs[0], 0);
    }
    if (layer.pool) return steps.push_back(make_pooled(graph_, layout_, layer, features_));
    if (layer.scale) return steps.push_back(make_scaled(graph_, layout_, layer, features_));
    using Make = std::unique_ptr<Step> (*)(const Graph&, const Layout&, const Layer&, Features);
    static const std::pair<const char*, Make> makers[] = {
        {"conv2d", make_conv2d},     {"linear", make_linear},          {"add", make_elementwise}, {"mul", make_elementwise},
        {"batch_norm", make_affine}, {"dequantize", make_affine},      {"table", make_table},     {"max_pool2d", make_pool},
        {"avg_pool2d", make_pool},   {"global_avg_pool2d", make_pool}, {"pack", make_bitpack},    {"constant", make_constant},
    };
    for (const auto& [name, make] : makers)
      if (op == name) return steps.push_back(make(graph_, layout_, layer, features_));
    throw std::logic_error("node '" + layer.node->name + "' (" + op + "): the engine has no step for it");
  }

  // Is the input already where this op would copy it?
  bool is_in_place(const Layer& layer, int input, int offset) const {
    if (layer.node->op != "concat") return layout_.is_view(layer.output, input);
    const Place& whole = layout_.place(layer.output);
    ptrdiff_t bytes = joins_channels(*layer.node, input, layer.output) ? offset : offset * whole.map.pixel;
    return layout_.is_view(input, layer.output) && layout_.place(input).offset == whole.offset + bytes;
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
