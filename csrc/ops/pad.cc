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

Steps make(const Binding& binding) {
  return make_move(binding, [](Copy& copy) -> std::unique_ptr<Step> {
    const auto& padding = copy.node.attrs.at("padding");
    ptrdiff_t inside = 0;
    for (size_t d = 0; d < copy.out.size(); ++d) inside += padding[2 * d] * copy.out[d].bytes;
    auto step = std::make_unique<CopyStep>(copy.features);
    step->copy(0, inside, over_both(copy.from.shape, copy.in, copy.out));
    add_padding(*step, static_cast<uint8_t>(copy.to.zero_point(0)), padding, copy.from.shape, copy.out);
    return step;
  });
}

}  // namespace

extern const Op pad_op = {"pad", {Role::codes, Role::codes}, check, make};

}  // namespace bitwright
