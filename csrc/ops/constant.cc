// constant: the codes of a value that no node computes, such as a class token.
#include <cstring>

#include "ops/check.h"
#include "ops/copy.h"

namespace bitwright {
namespace {

void check(const NodeCheck& of) {
  of.inputs(0, 0);
  of.expect(!of.out.is_float, "expected codes as output");
  std::vector<int64_t> dims(of.out.shape.begin(), of.out.shape.end());
  for (uint8_t code : of.tensor("codes", Type::uint8, dims).as<uint8_t>())
    of.expect(code <= of.out.max_code, "it holds a code that the output has not");
}

// Units are rows.
class ConstantStep : public Step {
 public:
  ConstantStep(const Value& value, const Map& map, std::span<const uint8_t> from) : map_(map), codes_(value.count()) {
    std::vector<Stride> axes = strides(value, {map.h, map.w, map.c, map.c, ptrdiff_t{map.w} * map.c, map.c});
    for (int64_t i = 0; i < value.count(); ++i) codes_[offset_of(axes, i)] = static_cast<uint8_t>(from[i] * value.step);
    units = map.h;
  }

  void run(const Memory& at, int begin, int end) const noexcept override {
    for (int pixel = begin * map_.w; pixel < end * map_.w; ++pixel)
      std::memcpy(at[Role::output] + pixel / map_.w * map_.row + pixel % map_.w * map_.pixel,
                  codes_.data() + ptrdiff_t{pixel} * map_.c, map_.c);
  }

  std::vector<std::span<const uint8_t>> packed() const override { return {codes_}; }

 private:
  Map map_;
  std::vector<uint8_t> codes_;  // without gaps
};

// Writes the codes where the graph reads them.
Steps make(const Binding& binding) {
  const Layer& layer = binding.layer;
  const Node& node = *layer.node;
  const Value& value = binding.graph.values[layer.output];
  auto step =
      std::make_unique<ConstantStep>(value, binding.layout.location(layer.output).map, node.tensors.at("codes").as<uint8_t>());
  step->name = node.name, step->op = node.op, step->kernel = "copy";
  step->operands = {{Role::output, layer.output}};
  step->bytes = 2 * value.count();
  return one_step(std::move(step));
}

}  // namespace

extern const Op constant_op = {"constant", {Role::codes, Role::codes}, check, make};

}  // namespace bitwright
