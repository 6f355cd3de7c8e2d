// reshape: the same elements in another shape.
#include <stdexcept>

#include "ops/check.h"
#include "ops/copy.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.same_codes();
  of.expect(of.in().count() == of.out.count(), "the number of elements differs");
}

std::optional<View> view(const View& of, const Node&, const std::vector<int>& shape) { return of.reshaped(shape); }

std::vector<Part> parts(const Graph& graph, const Layer& layer) {
  return whole_if_in_order(graph, layer, row_major(graph.values[layer.output].shape));
}

Steps make(const Binding& binding) {
  return make_move(binding, [](Copy& copy) -> std::unique_ptr<Step> {
    std::vector<Dim> dims;
    if (!paired(copy.in, copy.out, dims)) throw std::logic_error(copy.node.name + ": planning splits what has no common loops");
    auto step = std::make_unique<CopyStep>(copy.features);
    step->copy(0, 0, dims);
    return step;
  });
}

}  // namespace

extern const Op reshape_op = {"reshape", {Role::codes, Role::codes}, check, make, {.view = view, .parts = parts}};

}  // namespace bitwright
