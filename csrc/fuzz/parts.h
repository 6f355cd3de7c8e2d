// What the making of every op needs: numbers, types, tensors, and values that are there already.
#pragma once

#include <cstring>
#include <functional>

#include "fuzz/graphs.h"

namespace bitwright::fuzz {

class Parts {
 protected:
  explicit Parts(Choices& choices) : choose_(choices), noise_(static_cast<uint64_t>(choices.below(1 << 16))) {}

  Graph& graph() { return made_.graph; }
  const Value& value(int v) { return made_.graph.values[v]; }

  int extent() { return choose_.of<int>({1, 2, 3, 4, 5, 7, 8, 9, 12, 14, 16, 17, 20}); }
  int channels() { return choose_.of<int>({1, 2, 3, 4, 8, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, 130}); }

  // The type of an output: codes of some width.
  Value typed(std::vector<int> shape, int channel) {
    Value v;
    v.shape = std::move(shape), v.channel = channel;
    int kind = choose_.below(12);
    if (kind == 11) v.max_code = 1, v.step = 2, v.zero_points = {1};
    if (kind == 10) v.max_code = 1, v.zero_points = {0};
    if (kind < 10)
      v.max_code = kind < 6 ? 255 : choose_.of<int>({1, 3, 15, 100}), v.zero_points = {choose_.below(v.max_code + 1)};
    return v;
  }

  void tensor(Node& node, const char* key, Type type, std::vector<int64_t> shape, const std::function<double(int64_t)>& of) {
    Tensor& t = node.tensors[key];
    t.shape = std::move(shape), t.type = type;
    uint8_t* bytes = made_.allocate(t);
    for (int64_t i = 0; i < static_cast<int64_t>(t.bytes.size()) / (type == Type::float32 ? 4 : 1); ++i) {
      auto number = static_cast<float>(of(i));
      if (type == Type::float32)
        std::memcpy(bytes + 4 * i, &number, 4);
      else
        bytes[i] = static_cast<uint8_t>(static_cast<int>(number));
    }
  }
  void floats(Node& node, const char* key, std::vector<int64_t> shape, float low, float high) {
    tensor(node, key, Type::float32, std::move(shape), [&](int64_t) { return noise_.uniform(low, high); });
  }

  int add(Node node, Value out) {
    node.output = static_cast<int>(graph().values.size());
    node.name = "n" + std::to_string(node.output);
    graph().values.push_back(std::move(out)), graph().nodes.push_back(std::move(node));
    return graph().nodes.back().output;
  }
  int ranged(Node node, Value out) {
    int most = out.is_float ? 255 : out.max_code, lo = choose_.one_in(4) ? choose_.below(most + 1) : 0;
    node.attrs["lo"] = {lo}, node.attrs["hi"] = {choose_.one_in(4) ? choose_.within(lo, most) : most};
    return add(std::move(node), std::move(out));
  }

  bool one_zero(int v) { return value(v).zero_points.size() == 1; }
  bool planes(int v) { return value(v).shape.size() == 3 && value(v).channel == 0; }
  bool tokens(int v) { return value(v).channel + 1 == static_cast<int>(value(v).shape.size()); }
  // A value that `fits`, the newest with a good chance; -1 where there is none.
  int find(const std::function<bool(int)>& fits) {
    std::vector<int> found;
    for (int v = 0; v < static_cast<int>(graph().values.size()); ++v)
      if (!value(v).is_float && fits(v)) found.push_back(v);
    if (found.empty()) return -1;
    return choose_.one_in(3) ? choose_.of(found) : found.back();
  }
  int like(int v, const Value& out) {
    return find([&](int r) { return r != v && one_zero(r) && value(r).shape == out.shape && value(r).channel == out.channel; });
  }

  void weights(Node& node, std::vector<int64_t> shape, int64_t outs, int64_t groups) {
    int kind = choose_.below(5), most = std::vector<int>{127, 127, 7, 1, 0}[kind];
    int64_t depth = 1;
    for (int64_t d : shape) depth *= d;
    tensor(node, "weight", Type::int8, shape, [&](int64_t) {
      if (kind == 3 && most) return noise_.byte() & 1 ? 1 : -1;
      return most ? static_cast<int>(noise_.next() % static_cast<uint32_t>(2 * most + 1)) - most : 0;
    });
    float scale = 400.0f / (static_cast<float>(std::max<int64_t>(1, depth / outs)) * 128.0f * static_cast<float>(most + 1));
    std::vector<int64_t> of_m = {outs};
    if (groups > 1) of_m.push_back(groups);
    floats(node, "m", of_m, -scale, 2 * scale), floats(node, "b", {outs}, -20, 270);
  }
  void residual(Node& node, const Value& out) {
    int r = choose_.one_in(3) ? like(-1, out) : -1;
    if (r >= 0) node.inputs.push_back(r), floats(node, "m_r", {1}, -1, 1);
  }

  // The size of a map after a window has passed; empty where the window is larger.
  std::vector<int> windowed(Node& node, int x, int kh, int kw, bool dilates) {
    std::vector<int> kernel = {kh, kw}, size, dilation = {1, 1};
    if (dilates) dilation = {choose_.within(1, 2), choose_.within(1, 2)};
    std::vector<int> stride = {choose_.within(1, 3), choose_.within(1, 3)}, padding;
    for (int i = 0; i < 4; ++i) padding.push_back(choose_.one_in(2) ? choose_.below(4) : kernel[i % 2] / 2);
    if (dilates) node.attrs["dilation"] = dilation;
    node.attrs["stride"] = stride, node.attrs["padding"] = padding;
    for (int a = 0; a < 2; ++a) {
      int room = value(x).shape[1 + a] + padding[a] + padding[a + 2] - (kernel[a] - 1) * dilation[a] - 1;
      if (room < 0) return {};
      size.push_back(room / stride[a] + 1);
    }
    return size;
  }

  Choices& choose_;
  Noise noise_;
  Made made_;
};

}  // namespace bitwright::fuzz
