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

// Planes whose rows lie one behind the other, padded around: what follows a row and what precedes the next are one run, and so
// are the rows above with what precedes the first. Three runs in place of four:
//
//   0 0 0 0 0      the first ends in front of the first row,
//   0 a b c 0      the second is repeated between rows,
//   0 d e f 0
//   0 0 0 0 0      the third begins behind the last row
//
// False where the rows do not, or channels are padded.
bool add_padding_of_rows(CopyStep& step, uint8_t code, const std::vector<int>& padding, const std::vector<int>& shape,
                         const std::vector<Stride>& out) {
  if (shape.size() != 3 || out[0].bytes != 1 || out[0].extent != out[2].bytes || out[1].bytes != out[2].extent * out[2].bytes)
    return false;
  if (padding[0] + padding[1] > 0) return false;
  ptrdiff_t pixel = out[2].bytes, row = out[1].bytes, inside = shape[2] * pixel;
  ptrdiff_t first = padding[2] * row + padding[4] * pixel, last = first + (shape[1] - 1) * row + inside;
  step.fill(code, 0, {{first, 0, 1}});
  step.fill(code, first + inside, {{shape[1] - 1, 0, row}, {row - inside, 0, 1}});
  step.fill(code, last, {{out[1].extent * row - last, 0, 1}});
  return true;
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
    auto code = static_cast<uint8_t>(copy.to.zero_point(0));
    if (!add_padding_of_rows(*made, code, padding, copy.from.shape, copy.out))
      add_padding(*made, code, padding, copy.from.shape, copy.out);
    return made;
  });
  const Value &from = binding.graph.values[step->value(Role::codes)], &to = binding.graph.values[step->out()];
  step->bytes = to.count() - from.count() + (is_there ? 0 : 2 * from.count());
  return one_step(std::move(step));
}

}  // namespace

extern const Op pad_op = {"pad", {Role::codes, Role::codes}, check, make, {.parts = parts}};

}  // namespace bitwright
