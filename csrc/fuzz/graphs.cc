#include "fuzz/graphs.h"

#include <algorithm>
#include <numeric>

#include "fuzz/parts.h"

namespace bitwright::fuzz {

uint8_t* Made::allocate(Tensor& tensor) {
  size_t count = tensor.type == Type::float32 ? 4 : 1;
  for (int64_t d : tensor.shape) count *= static_cast<size_t>(d);
  auto& bytes = memory.emplace_back(count);
  tensor.bytes = bytes;
  return bytes.data();
}

bool is_small(const Graph& graph) {
  int64_t elements = 0;
  for (const Value& v : graph.values) elements += v.count();
  for (const Node& node : graph.nodes) {
    for (const auto& [key, numbers] : node.attrs)
      if (key != "lo" && key != "hi" && key != "shape" && key != "stop" && key != "start" && key != "heads" && key != "groups")
        for (int n : numbers)
          if (n > 32) return false;
    for (const auto& [key, tensor] : node.tensors) elements += static_cast<int64_t>(tensor.bytes.size());
  }
  return elements < 1 << 19 && graph.nodes.size() < 64;
}

namespace {

class Builder : private Parts {
 public:
  explicit Builder(Choices& choices) : Parts(choices) {}

  Made make() {
    add_image();
    for (int i = 0, count = choose_.within(1, 8); i < count; ++i) add_any();
    end();
    return std::move(made_);
  }

 private:
  void add_image() {
    Value image;
    int encoded = choose_.below(8), planes = 1;
    int colours = encoded == 7 ? choose_.within(1, 3) : choose_.of<int>({3, 3, 3, 1, 4, 17});
    if (encoded == 7) {
      int kind = choose_.below(3);
      Encoder encoder{std::vector<const char*>{"levels", "dither", "otsu"}[kind], 1, {}};
      if (kind == 0) {
        encoder.planes = planes = choose_.within(1, 20);
        encoder.table.resize(static_cast<size_t>(256) * planes);
        for (uint8_t& bit : encoder.table) bit = noise_.byte() & 1;
      }
      graph().encoder = encoder;
    }
    image.shape = {colours * planes, extent(), extent()};
    if (graph().encoder)
      image.max_code = 1, image.zero_points = {0};
    else if (choose_.one_in(2))
      for (int c = 0; c < colours; ++c) image.zero_points.push_back(choose_.below(256));
    else
      image.zero_points = {choose_.below(256)};
    graph().values.push_back(image), graph().inputs = {0};
  }

  void conv2d() {
    int x = find([&](int v) { return planes(v); });
    if (x < 0) return;
    int in = value(x).shape[0], kind = choose_.below(4), kh = choose_.within(1, 5),
        kw = choose_.one_in(3) ? choose_.within(1, 5) : kh;
    int groups = kind == 3 ? in : kind == 2 && in % 2 == 0 ? 2 : 1;
    int outs = kind == 3 ? in * (choose_.one_in(4) ? 2 : 1) : std::max(1, channels() / groups) * groups;
    Node node{"conv2d", "", {x}, 0, {}, {}};
    std::vector<int> size = windowed(node, x, kh, kw, true);
    if (size.empty()) return;
    node.attrs["groups"] = {groups};
    weights(node, {outs, in / groups, kh, kw}, outs, 1);
    Value out = typed({outs, size[0], size[1]}, 0);
    if (choose_.one_in(12)) out.is_float = true, out.zero_points.clear(), out.step = 1, out.max_code = 255;
    residual(node, out), ranged(std::move(node), std::move(out));
  }

  int linear(int x, int outs) {
    int in = value(x).channels(), groups = choose_.one_in(4) && in % 4 == 0 ? 4 : 1;
    std::vector<int> shape = value(x).shape;
    shape.back() = outs;
    Node node{"linear", "", {x}, 0, {}, {}};
    weights(node, {outs, in}, outs, groups);
    Value out = typed(shape, static_cast<int>(shape.size()) - 1);
    residual(node, out);
    return ranged(std::move(node), std::move(out));
  }

  void pool() {
    int kind = choose_.below(3), x = find([&](int v) { return planes(v) && one_zero(v); });
    if (x < 0) return;
    const Value& in = value(x);
    int c = in.shape[0], kernel = choose_.within(1, 4), other = choose_.within(1, 4);
    Node node{kind == 0 ? "max_pool2d" : kind == 1 ? "avg_pool2d" : "global_avg_pool2d", "", {x}, 0, {}, {}};
    if (kind == 2) return floats(node, "m", {1}, 0, 0.1f), void(add(std::move(node), typed({c, 1, 1}, 0)));
    node.attrs["kernel"] = {kernel, other};
    std::vector<int> size = windowed(node, x, kernel, other, kind == 0);
    if (size.empty()) return;
    Value out = in;
    if (kind == 1) {
      out = typed({}, 0);
      if (choose_.one_in(2))
        floats(node, "m", {size[0], size[1]}, 0, 0.5f);
      else
        floats(node, "m", {1, 1}, 0, 0.5f);
    }
    out.shape = {c, size[0], size[1]};
    add(std::move(node), std::move(out));
  }

  void elementwise() {
    int kind = choose_.below(5), x = find([&](int v) { return one_zero(v) || kind > 2; });
    if (x < 0) return;
    Value out = typed(value(x).shape, value(x).channel), in = value(x);
    int64_t c = in.channels();
    if (kind <= 1) {
      int other = like(-1, in);
      if (kind == 1 && choose_.one_in(2)) {
        std::vector<int> ones(in.shape.size(), 1);
        ones[in.channel] = in.channels();
        int factor = find([&](int v) { return one_zero(v) && value(v).shape == ones && value(v).channel == in.channel; });
        other = factor >= 0 ? factor : constant(ones, in.channel);
      }
      if (other < 0) return;
      Node node{kind ? "mul" : "add", "", {x, other}, 0, {}, {}};
      if (kind)
        floats(node, "m", {1}, -0.01f, 0.02f);
      else
        floats(node, "m_a", {1}, -1, 1), floats(node, "m_b", {1}, -1, 1);
      ranged(std::move(node), std::move(out));
    } else if (kind == 2) {
      Node node{"batch_norm", "", {x}, 0, {}, {}};
      floats(node, "m", {c}, -2, 2), floats(node, "b", {c}, -50, 200), ranged(std::move(node), std::move(out));
    } else {
      Node node{"table", "", {x}, 0, {}, {}};
      bool shared = choose_.one_in(2), threshold = choose_.one_in(3);
      std::vector<int64_t> shape = {256};
      if (!shared) shape.insert(shape.begin(), c);
      int limit = choose_.below(256);
      tensor(node, "table", Type::uint8, shape, [&](int64_t i) {
        if (threshold) return i % 256 > limit ? out.max_code : 0;
        return static_cast<int>(noise_.next() % static_cast<uint32_t>(out.max_code + 1));
      });
      add(std::move(node), std::move(out));
    }
  }

  void norm() {
    bool group = choose_.one_in(3);
    int x = find([&](int v) { return one_zero(v) && (!group || planes(v)); });
    if (x < 0) return;
    int c = value(x).channels();
    Node node{group ? "group_norm" : "layer_norm", "", {x}, 0, {}, {}};
    if (group) node.attrs["groups"] = {c % 4 == 0 && choose_.one_in(2) ? 4 : choose_.one_in(2) ? c : 1};
    for (int i = 0, others = group ? 0 : choose_.below(4); i < others; ++i) node.inputs.push_back(like(-1, value(x)));
    auto count = static_cast<int64_t>(node.inputs.size());
    if (count > 1 && choose_.one_in(2))
      floats(node, "m_x", {count}, -8, 8);
    else if (count > 1)
      floats(node, "m_x", {count, c}, -8, 8);
    floats(node, "m", {c}, -60, 60), floats(node, "b", {c}, 0, 255), floats(node, "e", {1}, 0.001f, 2);
    ranged(std::move(node), typed(value(x).shape, value(x).channel));
  }

  void attention() {
    int x = find([&](int v) { return value(v).shape.size() == 2 && tokens(v) && one_zero(v); });
    if (x < 0) return;
    int heads = choose_.within(1, 4), d = heads * choose_.within(1, 9), dv = heads * choose_.within(1, 9);
    int64_t t = value(x).shape[0];
    int q = linear(x, d), k = linear(x, d), v = linear(x, dv);
    Node node{"attention", "", {q, k, v}, 0, {{"heads", {heads}}}, {}};
    floats(node, "m_s", {1}, 0, 0.02f), floats(node, "m", {1}, 0, 2);
    tensor(node, "exp", Type::uint8, {256}, [&](int64_t i) { return i == 255 ? 0 : 255 * (256 - i) / 256 * (256 - i) / 256; });
    if (choose_.one_in(2))
      tensor(node, "score_bias", Type::float32, {choose_.one_in(2) ? heads : 1, t, t},
             [&](int64_t) { return -static_cast<double>(noise_.next() >> (choose_.one_in(8) ? 4 : 16)); });
    ranged(std::move(node), typed({static_cast<int>(t), dv}, 1));
  }

  int constant(std::vector<int> shape, int channel) {
    Value out = typed(shape, channel);
    Node node{"constant", "", {}, 0, {}, {}};
    tensor(node, "codes", Type::uint8, {shape.begin(), shape.end()},
           [&](int64_t) { return static_cast<int>(noise_.next() % static_cast<uint32_t>(out.max_code + 1)); });
    return add(std::move(node), std::move(out));
  }

  void move() {
    int kind = choose_.below(5), x = find([&](int v) { return one_zero(v); });
    if (x < 0) return;
    Value out = value(x);
    int rank = static_cast<int>(out.shape.size()), axis = choose_.below(rank), size = out.shape[axis];
    Node node{std::vector<const char*>{"concat", "slice", "pad", "permute", "reshape"}[kind], "", {x}, 0, {}, {}};
    if (kind == 0) {
      for (int i = choose_.below(4); i > 0; --i) {
        int other = find([&](int v) {
          std::vector<int> shape = value(v).shape;
          if (shape.size() != out.shape.size()) return false;
          shape[axis] = size;
          return one_zero(v) && shape == value(x).shape && value(v).max_code == out.max_code && value(v).step == out.step &&
                 value(v).zero_points == out.zero_points;
        });
        node.inputs.push_back(other), out.shape[axis] += value(other).shape[axis];
      }
      node.attrs["axis"] = {axis};
    } else if (kind == 1) {
      int start = choose_.below(size), stop = choose_.within(start + 1, size),
          step = choose_.one_in(3) ? choose_.within(1, size) : 1;
      node.attrs["axis"] = {axis}, node.attrs["start"] = {start}, node.attrs["stop"] = {stop}, node.attrs["step"] = {step};
      out.shape[axis] = (stop - start + step - 1) / step;
    } else if (kind == 2) {
      if (out.step != 1) return;
      std::vector<int> padding(static_cast<size_t>(2 * rank));
      for (int& p : padding) p = choose_.one_in(3) ? choose_.below(4) : 0;
      for (int d = 0; d < rank; ++d) out.shape[d] += padding[2 * d] + padding[2 * d + 1];
      node.attrs["padding"] = padding;
    } else if (kind == 3) {
      std::vector<int> dims(rank);
      std::iota(dims.begin(), dims.end(), 0);
      for (int d = rank - 1; d > 0; --d) std::swap(dims[d], dims[choose_.below(d + 1)]);
      for (int d = 0; d < rank; ++d) out.shape[d] = value(x).shape[dims[d]];
      out.channel = static_cast<int>(std::find(dims.begin(), dims.end(), value(x).channel) - dims.begin());
      if (choose_.one_in(4)) out.channel = choose_.below(rank);
      node.attrs["dims"] = dims;
    } else {
      int64_t left = out.count();
      std::vector<int> shape;
      while (left > 1 && shape.size() < 4 && !choose_.one_in(3)) {
        int d = choose_.of<int>({1, 2, 3, 4, 5, 7, 16});
        if (left % d == 0) shape.push_back(d), left /= d;
      }
      shape.push_back(static_cast<int>(left));
      out.shape = shape,
      out.channel = choose_.one_in(2) ? choose_.below(static_cast<int>(shape.size())) : static_cast<int>(shape.size()) - 1;
      node.attrs["shape"] = shape;
    }
    if (out.count() < 1 << 14) add(std::move(node), std::move(out));
  }

  void add_any() {
    switch (choose_.below(12)) {
      case 0:
      case 1:
      case 2: return conv2d();
      case 3: {
        int x = find([&](int v) { return tokens(v) && one_zero(v); });
        if (x >= 0) linear(x, channels());
        return;
      }
      case 4: return pool();
      case 5:
      case 6: return elementwise();
      case 7: return norm();
      case 8: return attention();
      case 9: return void(constant({channels(), extent(), extent()}, 0));
      default: return move();
    }
  }

  void end() {
    int last = static_cast<int>(graph().values.size()) - 1;
    if (choose_.one_in(2) && !value(last).is_float) {
      Node node{"dequantize", "", {last}, 0, {}, {}};
      floats(node, "m", {1}, -1, 1);
      Value out;
      out.shape = value(last).shape, out.channel = value(last).channel, out.is_float = true;
      last = add(std::move(node), std::move(out));
    }
    graph().outputs = {last};
    if (choose_.one_in(4)) graph().outputs.push_back(choose_.below(last + 1));
  }
};

}  // namespace

Made make_graph(Choices& choices) { return Builder(choices).make(); }

}  // namespace bitwright::fuzz
