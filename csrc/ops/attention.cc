// attention: of several heads, from scores to means of values in one step.
#include "kernels/attention/attention.h"

#include <algorithm>

#include "ops/check.h"
#include "ops/kernel_step.h"

namespace bitwright {
namespace {

constexpr int kMost = 1 << 15;  // keys, and channels of a head: sums of 255^2 of so many fit int32

int reach(const Value& value) { return std::max(value.zero_points[0], value.max_stored() - value.zero_points[0]); }

// Whole numbers that no sum and no difference of scores can leave int32 with.
void check_bias(const NodeCheck& of, int heads, int width) {
  const Tensor* found = of.find("score_bias");
  if (!found) return;
  of.expect(found->shape.size() == 3 && found->shape[0] > 0 && heads % found->shape[0] == 0,
            "score_bias does not fit its heads");
  const double least = -std::max(double{INT32_MAX} - 2.0 * width * 255 * 255, 0.0);
  auto bias = of.tensor("score_bias", Type::float32, {found->shape[0], of.in(0).shape[0], of.in(1).shape[0]}).as<float>();
  auto fits = [=](float b) { return b <= 0 && b >= least && b == static_cast<float>(static_cast<int32_t>(b)); };
  of.expect(std::all_of(bias.begin(), bias.end(), fits), "score_bias is no whole number, or is out of range");
}

void check(const NodeCheck& of) {
  of.inputs(3, 3), of.range();
  of.expect(!of.out.is_float, "expected codes as output");
  for (size_t i = 0; i < 3; ++i) {
    of.expect(of.in(i).shape.size() == 2 && of.in(i).channel == 1, "expected inputs of tokens, whose channel is the last axis");
    of.one_zero_point(i), of.same_channel(i);
  }
  const auto &query = of.in(0).shape, &key = of.in(1).shape, &value = of.in(2).shape;
  of.expect(query[1] == key[1] && key[0] == value[0], "the shapes of its inputs do not fit");
  of.shape({query[0], value[1]});
  int heads = of.attr_within("heads", 1, 1, kMost)[0];
  of.expect(query[1] % heads == 0 && value[1] % heads == 0, "heads does not divide the channels");
  of.expect(key[0] <= kMost && query[1] / heads <= kMost, "a sum could overflow int32");
  int64_t most = int64_t{2} * (query[1] / heads) * reach(of.in(0)) * reach(of.in(1));
  of.expect(most <= INT32_MAX, "a difference of scores could overflow int32");
  of.expect(of.tensor("exp", Type::uint8, {256}).as<uint8_t>()[0] > 0, "the first entry of exp is 0");
  of.expect(of.tensor("m_s", Type::float32, {1}).as<float>()[0] >= 0, "m_s is negative");
  of.tensor("m", Type::float32, {1});
  check_bias(of, heads, query[1] / heads);
}

Steps make(const Binding& binding) {
  auto step = std::make_unique<KernelStep<AttentionParams>>(binding);
  const Node& node = *binding.layer.node;
  auto exp = node.tensors.at("exp").as<uint8_t>();
  const Value &query = step->of(Role::codes), &key = step->of(Role::keys), &value = step->of(Role::values);
  AttentionParams& p = step->params;
  p.heads = node.attrs.at("heads")[0];
  p.zp = query.zero_point(0), p.third_zp = value.zero_point(0);
  p.out_zp = binding.graph.values[node.output].shift();
  p.exp = step->keep(std::vector<uint8_t>(exp.begin(), exp.end()));
  p.m_s = floats(node, "m_s")[0], p.m = floats(node, "m")[0];
  if (node.tensors.contains("score_bias")) {
    std::vector<float> bias = floats(node, "score_bias");
    p.bias = step->keep(std::vector<int32_t>(bias.begin(), bias.end()));
    p.biases = static_cast<int>(node.tensors.at("score_bias").shape[0]);
  }
  p.epilogue = step->store();
  step->macs = int64_t{query.shape[0]} * key.shape[0] * (query.channels() + value.channels());
  step->bytes += key.count() + value.count();
  step->bind(attention_kernels());
  return one_step(std::move(step));
}

}  // namespace

extern const Op attention_op = {"attention", {Role::codes, Role::keys, Role::values}, check, make, {.takes_table = true}};

}  // namespace bitwright
