// slice: elements start, start + step, ... before stop of one axis.
#include "ops/check.h"
#include "ops/copy.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.same_codes();
  int axis = of.attr_within("axis", 1, 0, static_cast<int>(of.in().shape.size()) - 1)[0], size = of.in().shape[axis];
  int start = of.attr_within("start", 1, 0, size - 1)[0], stop = of.attr_within("stop", 1, start + 1, size)[0];
  int step = of.attr_within("step", 1, 1, size)[0];
  std::vector<int> part = of.in().shape;
  part[axis] = (stop - start + step - 1) / step;
  of.shape(part);
}

std::optional<View> view(const View& of, const Node& node, const std::vector<int>& shape) {
  int axis = node.attrs.at("axis")[0];
  return of.sliced(axis, node.attrs.at("start")[0], node.attrs.at("step")[0], shape[axis]);
}

std::vector<Part> parts(const Graph&, const Layer& layer) {
  const auto& attrs = layer.node->attrs;
  if (attrs.at("step")[0] != 1) return {};
  return {{layer.output, layer.operand(Role::codes), attrs.at("axis")[0], attrs.at("start")[0]}};
}

Steps make(const Binding& binding) {
  return make_move(binding, [](Copy& copy) -> std::unique_ptr<Step> {
    Stride& cut = copy.in[copy.node.attrs.at("axis")[0]];
    ptrdiff_t start = copy.node.attrs.at("start")[0] * cut.bytes;
    cut.bytes *= copy.node.attrs.at("step")[0];
    auto step = std::make_unique<CopyStep>(copy.features);
    step->copy(start, 0, over_both(copy.to.shape, copy.in, copy.out));
    return step;
  });
}

}  // namespace

extern const Op slice_op = {"slice", {Role::codes, Role::codes}, check, make, {.view = view, .parts = parts}};

}  // namespace bitwright
