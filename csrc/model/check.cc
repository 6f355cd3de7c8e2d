#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>

#include "model/graph.h"

namespace bitwright {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 28;
constexpr int kMostWindow = 1 << 12;
constexpr int kMostGroups = 1 << 16;

// Checks one node; `fail` names it.
class NodeCheck {
 public:
  NodeCheck(const Graph& graph, const Node& node) : graph_(graph), node_(node), out_(graph.values[node.output]) {}

  void run() {
    using Check = void (NodeCheck::*)();
    static const std::map<std::string, Check> checks = {
        {"conv2d", &NodeCheck::conv2d},
        {"linear", &NodeCheck::linear},
        {"batch_norm", &NodeCheck::batch_norm},
        {"add", &NodeCheck::add},
        {"mul", &NodeCheck::mul},
        {"table", &NodeCheck::table},
        {"max_pool2d", &NodeCheck::max_pool2d},
        {"avg_pool2d", &NodeCheck::avg_pool2d},
        {"concat", &NodeCheck::concat},
        {"global_avg_pool2d", &NodeCheck::global_avg_pool2d},
        {"slice", &NodeCheck::slice},
        {"pad", &NodeCheck::pad},
        {"reshape", &NodeCheck::reshape},
        {"permute", &NodeCheck::permute},
        {"dequantize", &NodeCheck::dequantize},
        {"constant", &NodeCheck::constant},
    };
    auto found = checks.find(node_.op);
    expect(found != checks.end(), "unknown op");
    for (int input : node_.inputs) expect(!graph_.values[input].is_float, "its input is float32, expected codes");
    (this->*found->second)();
  }

 private:
  void expect(bool holds, const char* what, const char* which = "") const {
    if (!holds) throw std::invalid_argument("node '" + node_.name + "' (" + node_.op + "): " + which + what);
  }

  const Value& in(size_t i = 0) const { return graph_.values[node_.inputs[i]]; }

  void inputs(size_t least, size_t most) const {
    expect(node_.inputs.size() >= least && node_.inputs.size() <= most, "wrong number of inputs");
  }

  const std::vector<int>& attr(const char* key, size_t count) const {
    auto found = node_.attrs.find(key);
    expect(found != node_.attrs.end() && found->second.size() == count, " is missing or has a wrong length", key);
    return found->second;
  }

  const std::vector<int>& attr_within(const char* key, size_t count, int low, int high) const {
    const auto& values = attr(key, count);
    for (int v : values) expect(v >= low && v <= high, " is out of range", key);
    return values;
  }

  const Tensor& tensor(const char* key, Type type, const std::vector<int64_t>& shape) const {
    auto found = node_.tensors.find(key);
    expect(found != node_.tensors.end(), " is missing", key);
    const Tensor& t = found->second;
    expect(t.type == type && t.shape == shape, " has a wrong type or shape", key);
    if (type == Type::float32)
      for (float f : t.as<float>()) expect(std::isfinite(f), " is not finite", key);
    return t;
  }

  void shape(const std::vector<int>& expected) const { expect(out_.shape == expected, "the output's shape is wrong"); }

  // An op whose lo and hi are codes of the output.
  void range() const {
    if (out_.is_float) return;
    int lo = attr("lo", 1)[0], hi = attr("hi", 1)[0];
    expect(0 <= lo && lo <= hi && hi <= out_.max_code, "lo and hi are not codes of the output");
  }

  void one_zero_point(size_t i) const {
    const auto& zps = in(i).zero_points;
    expect(std::all_of(zps.begin(), zps.end(), [&](int z) { return z == zps[0]; }), "its input has several zero points");
  }

  void same_type() const {
    expect(!out_.is_float && out_.max_code == in().max_code && out_.step == in().step, "input and output have different types");
  }

  void same_codes() const {
    same_type();
    for (size_t i = 0; i < node_.inputs.size(); ++i) {
      one_zero_point(i);
      bool same = in(i).zero_points[0] == out_.zero_points[0] && in(i).max_code == out_.max_code && in(i).step == out_.step;
      expect(same, "input and output have different types");
    }
  }

  // The result has the channel axis of the input.
  void same_channel(size_t i = 0) const { expect(in(i).channel == out_.channel, "the axis of the channels is wrong"); }

  void planes() const {
    expect(in().shape.size() == 3 && in().channel == 0, "expected an input of shape C, H, W");
    same_channel();
  }

  void residual(size_t i) const {
    if (node_.inputs.size() <= i) return;
    one_zero_point(i);
    expect(in(i).shape == out_.shape && in(i).channel == out_.channel, "the residual's shape is not the output's");
    tensor("m_r", Type::float32, {1});
  }

  void accumulator(const Tensor& weight, int64_t outs, int depth, int taps, int group_outs) const {
    auto w = weight.as<int8_t>();
    bool lowest = false;
    for (int8_t code : w) lowest |= code == -128;
    expect(!lowest, "a weight is -128");
    int64_t reach = 0;
    for (int zp : in().zero_points) reach = std::max<int64_t>(reach, std::max(zp, in().max_stored() - zp));
    if (127 * reach * depth * taps <= INT32_MAX) return;  // whatever the weights are
    for (int64_t o = 0; o < outs; ++o) {
      int64_t most = 0;
      for (int i = 0; i < depth; ++i) {
        int zp = in().zero_point(static_cast<int>(o / group_outs) * depth + i);
        for (int t = 0; t < taps; ++t) {
          int code = w[(o * depth + i) * taps + t];
          most += static_cast<int64_t>(std::abs(code)) * std::max(zp, in().max_stored() - zp);
        }
      }
      expect(most <= INT32_MAX, "an accumulator could overflow int32");
    }
  }

  std::vector<int> windows(const std::vector<int>& kernel, const std::vector<int>& dilation) const {
    const auto &stride = attr_within("stride", 2, 1, kMostWindow), &padding = attr_within("padding", 4, 0, kMostWindow);
    std::vector<int> size(2);
    for (int axis = 0; axis < 2; ++axis) {
      int room = in().shape[1 + axis] + padding[axis] + padding[axis + 2] - (kernel[axis] - 1) * dilation[axis] - 1;
      expect(room >= 0, "the window is larger than the padded input");
      size[axis] = room / stride[axis] + 1;
    }
    return size;
  }

  void conv2d() {
    inputs(1, 2), planes(), range();
    expect(out_.shape.size() == 3, "the output's shape is wrong");
    int groups = attr_within("groups", 1, 1, 1 << 20)[0], channels = in().shape[0], outs = out_.shape[0];
    expect(channels % groups == 0 && outs % groups == 0, "groups does not divide the channels");
    auto found = node_.tensors.find("weight");
    expect(found != node_.tensors.end() && found->second.shape.size() == 4, "tensor weight is missing or has a wrong shape");
    const auto& dims = found->second.shape;
    expect(dims[2] >= 1 && dims[2] <= kMostWindow && dims[3] >= 1 && dims[3] <= kMostWindow, "the window is out of range");
    std::vector<int> kernel = {static_cast<int>(dims[2]), static_cast<int>(dims[3])};
    const Tensor& weight = tensor("weight", Type::int8, {outs, channels / groups, dims[2], dims[3]});
    auto size = windows(kernel, attr_within("dilation", 2, 1, kMostWindow));
    shape({outs, size[0], size[1]});
    tensor("m", Type::float32, {outs}), tensor("b", Type::float32, {outs}), residual(1);
    accumulator(weight, outs, channels / groups, kernel[0] * kernel[1], outs / groups);
  }

  void linear() {
    inputs(1, 2), range();
    expect(in().channel == static_cast<int>(in().shape.size()) - 1, "expected an input whose channel is its last axis");
    one_zero_point(0), same_channel();
    int outs = out_.channels(), channels = in().channels(), groups = groups_of(node_);
    std::vector<int> result = in().shape;
    result.back() = outs;
    shape(result);
    const Tensor& weight = tensor("weight", Type::int8, {outs, channels});
    expect(groups >= 1 && groups <= kMostGroups && channels % groups == 0, "groups do not divide the inputs");
    std::vector<int64_t> multipliers = {outs};
    if (groups > 1) multipliers.push_back(groups);
    tensor("m", Type::float32, multipliers), tensor("b", Type::float32, {outs}), residual(1);
    accumulator(weight, static_cast<int64_t>(outs) * groups, channels / groups, 1, outs * groups);
  }

  void batch_norm() {
    inputs(1, 1), range(), shape(in().shape), same_channel();
    tensor("m", Type::float32, {in().channels()}), tensor("b", Type::float32, {in().channels()});
  }

  void add() {
    inputs(2, 2), range(), one_zero_point(0), one_zero_point(1), shape(in(0).shape), shape(in(1).shape), same_channel(0),
        same_channel(1);
    tensor("m_a", Type::float32, {1}), tensor("m_b", Type::float32, {1});
  }

  void mul() {
    inputs(2, 2), range(), one_zero_point(0), one_zero_point(1), shape(in(0).shape), same_channel(0), same_channel(1);
    const auto &a = in(0).shape, &b = in(1).shape;
    std::vector<int> of_channels(a.size(), 1);
    of_channels[in().channel] = in().channels();
    expect(a == b || b == of_channels, "the shapes of its inputs do not fit");
    tensor("m", Type::float32, {1});
  }

  void table() {
    inputs(1, 1), shape(in().shape), same_channel();
    expect(!out_.is_float, "expected codes as output");
    auto found = node_.tensors.find("table");
    bool shared = found != node_.tensors.end() && found->second.shape.size() == 1;
    std::vector<int64_t> dims = shared ? std::vector<int64_t>{256} : std::vector<int64_t>{in().channels(), 256};
    for (uint8_t code : tensor("table", Type::uint8, dims).as<uint8_t>())
      expect(code <= out_.max_code, "the table holds a code that the output has not");
  }

  void max_pool2d() {
    inputs(1, 1), planes(), same_codes();
    auto size = windows(attr_within("kernel", 2, 1, kMostWindow), attr_within("dilation", 2, 1, kMostWindow));
    shape({in().shape[0], size[0], size[1]});
  }

  void avg_pool2d() {
    inputs(1, 1), planes(), one_zero_point(0);
    auto size = windows(attr_within("kernel", 2, 1, kMostWindow), {1, 1});
    shape({in().shape[0], size[0], size[1]});
    auto found = node_.tensors.find("m");
    bool shared = found != node_.tensors.end() && found->second.shape == std::vector<int64_t>{1, 1};
    tensor("m", Type::float32, shared ? std::vector<int64_t>{1, 1} : std::vector<int64_t>{size[0], size[1]});
  }

  void global_avg_pool2d() {
    inputs(1, 1), planes(), one_zero_point(0), shape({in().shape[0], 1, 1}), tensor("m", Type::float32, {1});
    expect(in().count() / in().shape[0] <= INT32_MAX / 255, "an accumulator could overflow int32");
  }

  void concat() {
    inputs(1, 1 << 16), same_codes();
    int axis = attr_within("axis", 1, 0, static_cast<int>(in().shape.size()) - 1)[0];
    std::vector<int> total = in().shape;
    for (size_t i = 1; i < node_.inputs.size(); ++i) {
      std::vector<int> part = in(i).shape;
      expect(part.size() == total.size(), "the shapes of its inputs do not fit");
      total[axis] += part[axis], part[axis] = total[axis];
      expect(part == total, "the shapes of its inputs do not fit");
    }
    shape(total);
  }

  void slice() {
    inputs(1, 1), same_type();
    int axis = attr_within("axis", 1, 0, static_cast<int>(in().shape.size()) - 1)[0], size = in().shape[axis];
    one_zero_point(0);
    int start = attr_within("start", 1, 0, size - 1)[0], stop = attr_within("stop", 1, start + 1, size)[0];
    int step = attr_within("step", 1, 1, size)[0];
    std::vector<int> part = in().shape;
    part[axis] = (stop - start + step - 1) / step;
    shape(part);
  }

  void pad() {
    inputs(1, 1), same_codes();
    expect(in().step == 1, "its codes have no zero to pad with");
    const auto& padding = attr_within("padding", 2 * in().shape.size(), 0, kMostWindow);
    std::vector<int> padded = in().shape;
    for (size_t axis = 0; axis < padded.size(); ++axis) padded[axis] += padding[2 * axis] + padding[2 * axis + 1];
    shape(padded);
  }

  void reshape() {
    inputs(1, 1), same_codes();
    expect(in().count() == out_.count(), "the number of elements differs");
  }

  void permute() {
    inputs(1, 1), same_codes();
    int rank = static_cast<int>(in().shape.size());
    const auto& dims = attr_within("dims", rank, 0, rank - 1);
    std::vector<int> permuted, sorted = dims;
    for (int d : dims) permuted.push_back(in().shape[d]);
    std::sort(sorted.begin(), sorted.end());
    for (int i = 0; i < rank; ++i) expect(sorted[i] == i, "dims is no permutation");
    shape(permuted);
  }

  void dequantize() {
    inputs(1, 1), shape(in().shape), same_channel(), tensor("m", Type::float32, {1});
    expect(out_.is_float, "expected float32 as output");
  }

  void constant() {
    inputs(0, 0);
    expect(!out_.is_float, "expected codes as output");
    std::vector<int64_t> dims(out_.shape.begin(), out_.shape.end());
    for (uint8_t code : tensor("codes", Type::uint8, dims).as<uint8_t>())
      expect(code <= out_.max_code, "it holds a code that the output has not");
  }

  const Graph& graph_;
  const Node& node_;
  const Value& out_;
};

void check_value(const Value& v, int index) {
  auto expect = [&](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument("value " + std::to_string(index) + ": " + what);
  };
  expect(!v.shape.empty() && v.shape.size() <= 8, "expected 1 to 8 dimensions");
  int64_t count = 1;
  for (int d : v.shape) {
    expect(d >= 1 && d <= kMostElements / count, "a dimension is out of range");
    count *= d;
  }
  expect(v.channel >= 0 && v.channel < static_cast<int>(v.shape.size()), "it has no such axis of channels");
  if (v.is_float) return;
  expect(v.max_code >= 1 && v.max_code <= 255, "expected codes of 1 to 8 bits");
  expect(v.step == 1 || (v.step == 2 && v.max_code == 1 && index > 0), "expected a step of 1, or of 2 between two codes");
  expect(v.zero_points.size() == 1 || (index == 0 && static_cast<int>(v.zero_points.size()) == v.channels()),
         "wrong number of zero points");
  for (int zp : v.zero_points) expect(v.step == 1 ? zp >= 0 && zp <= v.max_code : zp == 1, "a zero point is out of range");
}

}  // namespace

int64_t Value::count() const {
  int64_t n = 1;
  for (int d : shape) n *= d;
  return n;
}

int groups_of(const Node& node) {
  auto m = node.tensors.find("m");
  bool grouped = node.op == "linear" && m != node.tensors.end() && m->second.shape.size() == 2;
  return grouped ? static_cast<int>(std::clamp<int64_t>(m->second.shape[1], 0, kMostGroups + 1)) : 1;
}

void check(const Graph& graph) {
  auto known = [&](int v) { return v >= 0 && v < static_cast<int>(graph.values.size()); };
  bool all_known =
      !graph.values.empty() && !graph.outputs.empty() && std::all_of(graph.outputs.begin(), graph.outputs.end(), known);
  if (!all_known) throw std::invalid_argument("the graph has no such output");
  for (size_t i = 0; i < graph.values.size(); ++i) check_value(graph.values[i], static_cast<int>(i));
  if (graph.values[0].shape.size() != 3 || graph.values[0].channel != 0)
    throw std::invalid_argument("expected an image of C, H, W");
  if (graph.values[0].is_float) throw std::invalid_argument("the image is float32, expected codes");
  std::vector<bool> written(graph.values.size(), false);
  written[0] = true;
  for (const Node& node : graph.nodes) {
    for (int input : node.inputs)
      if (!known(input) || !written[input])
        throw std::invalid_argument("node '" + node.name + "': it reads a value that is not yet written");
    if (!known(node.output) || written[node.output])
      throw std::invalid_argument("node '" + node.name + "': its output is unknown or written twice");
    NodeCheck(graph, node).run();
    written[node.output] = true;
  }
  for (int output : graph.outputs)
    if (!written[output]) throw std::invalid_argument("no node writes the graph's output");
}

}  // namespace bitwright
