#include "ops/check.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "artifact/node.h"
#include "ops/op.h"
#include "ops/step.h"

namespace bitwright {

void NodeCheck::expect(bool holds, const char* what, const char* which) const {
  if (!holds) throw std::invalid_argument("node '" + node.name + "' (" + node.op + "): " + which + what);
}

void NodeCheck::inputs(size_t least, size_t most) const {
  expect(node.inputs.size() >= least && node.inputs.size() <= most, "wrong number of inputs");
}

const std::vector<int>& NodeCheck::attr(const char* key, size_t count) const {
  auto found = node.attrs.find(key);
  expect(found != node.attrs.end() && found->second.size() == count, " is missing or has a wrong length", key);
  return found->second;
}

const std::vector<int>& NodeCheck::attr_within(const char* key, size_t count, int low, int high) const {
  const auto& values = attr(key, count);
  for (int v : values) expect(v >= low && v <= high, " is out of range", key);
  return values;
}

const Tensor* NodeCheck::find(const char* key) const {
  auto found = node.tensors.find(key);
  return found == node.tensors.end() ? nullptr : &found->second;
}

const Tensor& NodeCheck::tensor(const char* key, Type type, const std::vector<int64_t>& shape) const {
  const Tensor* found = find(key);
  expect(found, " is missing", key);
  expect(found->type == type && found->shape == shape, " has a wrong type or shape", key);
  if (type == Type::float32)
    for (float f : found->as<float>()) expect(std::isfinite(f), " is not finite", key);
  return *found;
}

void NodeCheck::shape(const std::vector<int>& expected) const { expect(out.shape == expected, "the output's shape is wrong"); }

void NodeCheck::same_channel(size_t i) const { expect(in(i).channel == out.channel, "the axis of the channels is wrong"); }

void NodeCheck::planes() const {
  expect(in().shape.size() == 3 && in().channel == 0, "expected an input of shape C, H, W");
  same_channel();
}

void NodeCheck::one_zero_point(size_t i) const {
  const auto& zps = in(i).zero_points;
  expect(std::all_of(zps.begin(), zps.end(), [&](int z) { return z == zps[0]; }), "its input has several zero points");
}

void NodeCheck::same_codes() const {
  expect(!out.is_float, "input and output have different types");
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    one_zero_point(i);
    bool same = in(i).zero_points[0] == out.zero_points[0] && in(i).max_code == out.max_code && in(i).step == out.step;
    expect(same, "input and output have different types");
  }
}

void NodeCheck::range() const {
  if (out.is_float) return;
  int lo = attr("lo", 1)[0], hi = attr("hi", 1)[0];
  expect(0 <= lo && lo <= hi && hi <= out.max_code, "lo and hi are not codes of the output");
}

void NodeCheck::residual(size_t i) const {
  if (node.inputs.size() <= i) return;
  one_zero_point(i);
  expect(in(i).shape == out.shape && in(i).channel == out.channel, "the residual's shape is not the output's");
  tensor("m_r", Type::float32, {1});
}

void NodeCheck::nothing_else() const {
  const Fields& fields = fields_of(node.op);
  auto has = [](const std::vector<std::string_view>& names, std::string_view key) {
    return std::any_of(names.begin(), names.end(), [&](auto name) { return name.substr(0, name.find('*')) == key; });
  };
  for (const auto& [key, values] : node.attrs) expect(has(fields.attrs, key), " is no attribute of this op", key.c_str());
  for (const auto& [key, tensor] : node.tensors) expect(has(fields.tensors, key), " is no tensor of this op", key.c_str());
}

void check(const Graph& graph) {
  check_values(graph);
  if (graph.encoder) check_encoder(*graph.encoder, graph.values[graph.image()]);
  for (const Node& node : graph.nodes) {
    const Op& op = op_of(node);
    NodeCheck of_node(graph, node);
    of_node.expect(op.check, "unknown op");  // planning makes such nodes, graphs have none
    for (int input : node.inputs) of_node.expect(!graph.values[input].is_float, "its input is float32, expected codes");
    of_node.nothing_else();
    op.check(of_node);
  }
}

}  // namespace bitwright
