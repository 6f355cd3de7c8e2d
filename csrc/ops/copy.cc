#include "ops/copy.h"

namespace bitwright {
namespace {

// The axes of a value from the outermost in memory to the innermost, with their strides in elements of another: those of one
// element are left out, and neighbours that go as one are one.
struct Digit {
  int size;
  int64_t stride;
  bool operator==(const Digit&) const = default;
};

std::vector<Digit> memory_order(const Value& value, const std::vector<int64_t>& strides) {
  std::vector<Digit> digits;
  auto add = [&](size_t axis) {
    if (value.shape[axis] == 1) return;
    if (!digits.empty() && digits.back().stride == strides[axis] * value.shape[axis])
      digits.back() = {digits.back().size * value.shape[axis], strides[axis]};
    else
      digits.push_back({value.shape[axis], strides[axis]});
  };
  for (size_t axis = 0; axis < value.shape.size(); ++axis)
    if (static_cast<int>(axis) != value.channel) add(axis);
  add(value.channel);
  return digits;
}

// What chains of moves come to.
std::unique_ptr<Step> make_viewed(const View& view, const Copy& copy) {
  auto step = std::make_unique<CopyStep>(copy.features);
  std::vector<Stride> loops;
  for (const View::Loop& loop : view.loops()) loops.push_back({loop.extent, loop.stride * copy.in[loop.axis].bytes});
  ptrdiff_t start = 0;
  for (size_t axis = 0; axis < copy.in.size(); ++axis) start += view.starts()[axis] * copy.in[axis].bytes;
  std::vector<Dim> dims;
  paired(loops, copy.out, dims);  // the loops of an axis multiply to its extent
  step->copy(start, 0, dims);
  return step;
}

}  // namespace

std::vector<Stride> strides(const Value& value, const Map& map) {
  std::vector<Stride> axes;
  for (int extent : value.shape) axes.push_back({extent, 1});
  ptrdiff_t bytes = map.pixel;
  for (int d = static_cast<int>(axes.size()) - 1; d >= 0; --d) {
    if (d == value.channel) continue;
    axes[d].bytes = bytes;
    bytes = axes.size() == 3 ? map.row : bytes * axes[d].extent;  // only two axes of pixels may have a halo
  }
  return axes;
}

std::vector<Dim> over_both(const std::vector<int>& extents, const std::vector<Stride>& in, const std::vector<Stride>& out) {
  std::vector<Dim> dims;
  for (size_t d = 0; d < extents.size(); ++d) dims.push_back({extents[d], in[d].bytes, out[d].bytes});
  return dims;
}

bool is_in_place(const Binding& binding, const Part& part) {
  const Layout& layout = binding.layout;
  if (!layout.is_view(part.part, part.whole)) return false;
  const Value& whole = binding.graph.values[part.whole];
  const Location& location = layout.location(part.whole);
  ptrdiff_t offset = 0;
  if (part.axis == whole.channel)
    offset = part.first;
  else if (part.axis >= 0)
    offset = part.first * pixels_along(whole, part.axis) * location.map.pixel;
  return layout.location(part.part).offset == location.offset + offset;  // the same value may be several parts
}

std::unique_ptr<Step> make_copy(const Binding& binding, int in, const std::function<std::unique_ptr<Step>(Copy&)>& make) {
  const Layout& layout = binding.layout;
  const Node& node = *binding.layer.node;
  int out = binding.layer.output;
  const Value &from = binding.graph.values[in], &to = binding.graph.values[out];
  Copy copy = {from, to, strides(from, layout.location(in).map), strides(to, layout.location(out).map), node, binding.features};
  auto step = binding.layer.view ? make_viewed(*binding.layer.view, copy) : make(copy);
  step->name = node.name, step->op = node.op;
  step->operands = {{Role::codes, in}, {Role::output, out}};
  step->bytes = 2 * std::min(from.count(), to.count());
  return step;
}

Steps make_move(const Binding& binding, std::unique_ptr<Step> (*make)(Copy&)) {
  const Layer& layer = binding.layer;
  if (!layer.view && layer.op->traits.parts)
    for (const Part& part : layer.op->traits.parts(binding.graph, layer))
      if (is_in_place(binding, part)) return {};
  return one_step(make_copy(binding, layer.operand(Role::codes), make));
}

std::vector<int64_t> row_major(const std::vector<int>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

std::vector<Part> whole_if_in_order(const Graph& graph, const Layer& layer, const std::vector<int64_t>& strides) {
  const Value &in = graph.values[layer.operand(Role::codes)], &out = graph.values[layer.output];
  if (in.channels() != out.channels() || memory_order(in, row_major(in.shape)) != memory_order(out, strides)) return {};
  return {{layer.output, layer.operand(Role::codes), -1, 0}};
}

}  // namespace bitwright
