// concat: values one after the other along an axis; each is copied, or written where it belongs.
#include "ops/check.h"
#include "ops/copy.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(1, 1 << 16), of.same_codes();
  int axis = of.attr_within("axis", 1, 0, static_cast<int>(of.in().shape.size()) - 1)[0];
  std::vector<int> total = of.in().shape;
  for (size_t i = 1; i < of.node.inputs.size(); ++i) {
    std::vector<int> part = of.in(i).shape;
    of.expect(part.size() == total.size(), "the shapes of its inputs do not fit");
    total[axis] += part[axis], part[axis] = total[axis];
    of.expect(part == total, "the shapes of its inputs do not fit");
  }
  of.shape(total);
}

std::vector<Part> parts(const Graph& graph, const Layer& layer) {
  std::vector<Part> parts;
  int axis = layer.node->attrs.at("axis")[0], first = 0;
  for (int input : layer.node->inputs) {
    parts.push_back({input, layer.output, axis, first});
    first += graph.values[input].shape[axis];
  }
  return parts;
}

Steps make(const Binding& binding) {
  Steps steps;
  for (const Part& part : parts(binding.graph, binding.layer)) {
    if (is_in_place(binding, part)) continue;
    steps.push_back(make_copy(binding, part.part, [&](Copy& copy) {
      auto step = std::make_unique<CopyStep>(copy.features);
      step->copy(0, part.first * copy.out[part.axis].bytes, over_both(copy.from.shape, copy.in, copy.out));
      return step;
    }));
  }
  return steps;
}

}  // namespace

extern const Op concat_op = {"concat", {Role::codes, Role::codes}, check, make, {.parts = parts}};

}  // namespace bitwright
