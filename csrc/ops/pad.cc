// pad: zeros around.
#include "ops/check.h"
#include "ops/copy.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.same_codes();
  of.expect(of.in().step == 1, "its codes have no zero to pad with");
  const auto& padding = of.attr_within("padding", 2 * of.in().shape.size(), 0, kMostWindow);
  std::vector<int> padded = of.in().shape;
  for (size_t axis = 0; axis < padded.size(); ++axis) padded[axis] += padding[2 * axis] + padding[2 * axis + 1];
  of.shape(padded);
}

// Around the input, axis after axis: what lies before and behind it; along the axes before only as far as the input reaches.
void add_padding(CopyStep& step, uint8_t code, const std::vector<int>& padding, const std::vector<int>& shape,
                 const std::vector<Stride>& out) {
  ptrdiff_t inside = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    std::vector<Dim> dims;
    for (size_t d = 0; d < shape.size(); ++d) dims.push_back({d < axis ? shape[d] : out[d].extent, 0, out[d].bytes});
    int before = padding[2 * axis], behind = padding[2 * axis + 1];
    dims[axis].extent = before;
    step.fill(code, inside, dims);
    dims[axis].extent = behind;
    step.fill(code, inside + (before + shape[axis]) * out[axis].bytes, dims);
    inside += before * out[axis].bytes;
  }
}

// Where only one axis is padded, the input may lie in the output from the start.
std::vector<Part> parts(const Graph&, const Layer& layer) {
  const auto& padding = layer.node->attrs.at("padding");
  std::vector<Part> parts;
  for (int side = 0; side < static_cast<int>(padding.size()); ++side) {
    int axis = side / 2;
    if (padding[side] == 0 || (!parts.empty() && parts[0].axis == axis)) continue;
    parts.push_back({layer.operand(Role::codes), layer.output, axis, padding[2 * axis]});
  }
  return parts.size() == 1 ? parts : std::vector<Part>{};
}

Steps make(const Binding& binding) {
  auto found = parts(binding.graph, binding.layer);
  bool is_there = !found.empty() && is_in_place(binding, found[0]);
  auto step = make_copy(binding, binding.layer.operand(Role::codes), [&](Copy& copy) {
    const auto& padding = copy.node.attrs.at("padding");
    ptrdiff_t inside = 0;
    for (size_t d = 0; d < copy.out.size(); ++d) inside += padding[2 * d] * copy.out[d].bytes;
    auto made = std::make_unique<CopyStep>(copy.features);
    if (!is_there) made->copy(0, inside, over_both(copy.from.shape, copy.in, copy.out));
    add_padding(*made, static_cast<uint8_t>(copy.to.zero_point(0)), padding, copy.from.shape, copy.out);
    return made;
  });
  const Value &from = binding.graph.values[step->value(Role::codes)], &to = binding.graph.values[step->out()];
  step->bytes = to.count() - from.count() + (is_there ? 0 : 2 * from.count());
  return one_step(std::move(step));
}

}  // namespace

extern const Op pad_op = {"pad", {Role::codes, Role::codes}, check, make, {.parts = parts}};

}  // namespace bitwright
