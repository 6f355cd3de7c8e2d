// permute: axes in another order.
#include "ops/check.h"
#include "ops/copy.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.same_codes();
  int rank = static_cast<int>(of.in().shape.size());
  const auto& dims = of.attr_within("dims", rank, 0, rank - 1);
  std::vector<int> permuted, sorted = dims;
  for (int d : dims) permuted.push_back(of.in().shape[d]);
  std::sort(sorted.begin(), sorted.end());
  for (int i = 0; i < rank; ++i) of.expect(sorted[i] == i, "dims is no permutation");
  of.shape(permuted);
}

std::optional<View> view(const View& of, const Node& node, const std::vector<int>&) {
  return of.permuted(node.attrs.at("dims"));
}

std::vector<Part> parts(const Graph& graph, const Layer& layer) {
  std::vector<int64_t> strides = row_major(graph.values[layer.operand(Role::codes)].shape), permuted;
  for (int d : layer.node->attrs.at("dims")) permuted.push_back(strides[d]);
  return whole_if_in_order(graph, layer, permuted);
}

Steps make(const Binding& binding) {
  return make_move(binding, [](Copy& copy) -> std::unique_ptr<Step> {
    std::vector<Stride> permuted;
    for (int d : copy.node.attrs.at("dims")) permuted.push_back(copy.in[d]);
    auto step = std::make_unique<CopyStep>(copy.features);
    step->copy(0, 0, over_both(copy.to.shape, permuted, copy.out));
    return step;
  });
}

}  // namespace

extern const Op permute_op = {"permute", {Role::codes, Role::codes}, check, make, {.view = view, .parts = parts}};

}  // namespace bitwright
