// reshape: the same elements in another shape.
#include "ops/check.h"
#include "ops/copy.h"

namespace bitwright {
namespace {

constexpr int64_t kElementsPerUnit = 4096;

void check(const NodeCheck& of) {
  of.inputs(1, 1), of.same_codes();
  of.expect(of.in().count() == of.out.count(), "the number of elements differs");
}

// A reshape whose two shapes have no common loops.
class ReshapeStep : public Step {
 public:
  ReshapeStep(std::vector<Stride> in, std::vector<Stride> out, int64_t count)
      : in_(std::move(in)), out_(std::move(out)), count_(count) {
    kernel = "move, one by one";
    units = static_cast<int>((count + kElementsPerUnit - 1) / kElementsPerUnit);
  }

  void run(const Memory& at, int begin, int end) const noexcept override {
    int64_t last = std::min(count_, end * kElementsPerUnit);
    for (int64_t i = begin * kElementsPerUnit; i < last;) {
      Position from = position_of(in_, i), to = position_of(out_, i);
      int64_t run = std::min({from.run, to.run, last - i});
      for (int64_t j = 0; j < run; ++j)
        at[Role::output][to.offset + j * out_.back().bytes] = at[Role::codes][from.offset + j * in_.back().bytes];
      i += run;
    }
  }

 private:
  std::vector<Stride> in_, out_;
  int64_t count_;
};

std::optional<View> view(const View& of, const Node&, const std::vector<int>& shape) { return of.reshaped(shape); }

std::vector<Part> parts(const Graph& graph, const Layer& layer) {
  return whole_if_in_order(graph, layer, row_major(graph.values[layer.output].shape));
}

Steps make(const Binding& binding) {
  return make_move(binding, [](Copy& copy) -> std::unique_ptr<Step> {
    std::vector<Dim> dims;
    if (!paired(copy.in, copy.out, dims)) return std::make_unique<ReshapeStep>(copy.in, copy.out, copy.from.count());
    auto step = std::make_unique<CopyStep>(copy.features);
    step->copy(0, 0, dims);
    return step;
  });
}

}  // namespace

extern const Op reshape_op = {"reshape", {Role::codes, Role::codes}, check, make, {.view = view, .parts = parts}};

}  // namespace bitwright
