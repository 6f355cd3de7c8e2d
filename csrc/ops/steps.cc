// Binds nodes to kernels: parameters from attributes, epilogues from tensors, packed weights.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/bitgemm/bitgemm.h"
#include "kernels/bitpack/bitpack.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/epilogue_scalar.h"
#include "kernels/grouped/grouped.h"
#include "kernels/igemm/igemm.h"
#include "kernels/pool/pool.h"
#include "kernels/table/table.h"
#include "ops/kernel_step.h"
#include "planning/planes.h"

namespace bitwright {
namespace {

std::vector<float> floats(const Node& node, const char* key) {
  auto values = node.tensors.at(key).as<float>();
  return {values.begin(), values.end()};
}

Window window_of(const Node& node, int kh, int kw) {
  auto pair = [&](const char* key) {
    auto found = node.attrs.find(key);
    return found == node.attrs.end() ? std::vector<int>{1, 1} : found->second;
  };
  std::vector<int> stride = pair("stride"), dilation = pair("dilation"), padding = node.attrs.at("padding");
  return {kh, kw, stride[0], stride[1], padding[0], padding[1], dilation[0], dilation[1]};
}

Window conv_window(const Node& node) {
  const auto& shape = node.tensors.at("weight").shape;
  return window_of(node, static_cast<int>(shape[2]), static_cast<int>(shape[3]));
}

// -sum of zero_point * w for each output channel, which may wrap; start + sum x * w does not.
std::vector<int32_t> starts(const Value& in, std::span<const int8_t> w, int outs, int depth, int taps, int group_outs) {
  std::vector<int32_t> start(outs);
  for (int o = 0; o < outs; ++o) {
    auto sum_of = [&](int first, int count) {
      auto part = w.subspan((static_cast<size_t>(o) * depth + first) * taps, static_cast<size_t>(count) * taps);
      return static_cast<uint32_t>(std::accumulate(part.begin(), part.end(), 0));
    };
    uint32_t sum = 0;
    if (in.zero_points.size() == 1)
      sum = static_cast<uint32_t>(in.zero_points[0]) * sum_of(0, depth);
    else
      for (int i = 0; i < depth; ++i) sum += static_cast<uint32_t>(in.zero_points[o / group_outs * depth + i]) * sum_of(i, 1);
    start[o] = static_cast<int32_t>(-sum);
  }
  return start;
}

template <class Params>
std::unique_ptr<Step> make_convolution(const Graph& graph, const Layout& layout, const Layer& layer, Features features,
                                       const Window& window, int groups, const KernelTable<Params>& kernels) {
  auto step = std::make_unique<KernelStep<Params>>(graph, layout, layer);
  const Node& node = *layer.node;
  auto weights = node.tensors.at("weight").as<int8_t>();
  Params& p = step->params;
  p.window = window;
  if constexpr (requires { p.groups; }) p.groups = groups;
  if constexpr (requires { p.pooled; }) p.pooled = layer.pool != nullptr;
  if (step->second >= 0) p.second = layout.place(step->second).map;
  int depth = p.in.c / groups, taps = window.kh * window.kw;
  p.start = step->keep(starts(graph.values[step->in], weights, p.out.c, depth, taps, p.out.c / groups));
  p.epilogue = step->epilogue(graph, node, floats(node, "m"), floats(node, "b"));
  step->macs = static_cast<int64_t>(p.out.h) * p.out.w * p.out.c * depth * taps;
  step->bind(kernels, features, weights.data());
  return step;
}

// Sets `start` of bitgemm.h. Where codes stand for 2 * code - 1, a tap beyond the border is no code but a zero, so a window
// that reaches there starts from other numbers. Windows of one row reach beyond it in few ways; three taps and padding of 1:
//
//   pixels         |  .  .  .  .  .  |
//   x = 0       [ out in  in ]                 way 0
//   x = 1           [ in  in  in ]             way 1, as all up to w - 2
//   x = w - 1               [ in  in  out ]    way 2
//
// Columns likewise. `start` has one set of output channels for each pair of ways, and output (y, x) reads the set at
// start_rows[y] + start_columns[x]. Other codes have one way, as their zeros lie in the halo as codes.
void set_starts(KernelStep<BitgemmParams>& step, const Value& in, std::span<const int8_t> w) {
  BitgemmParams& p = step.params;
  const Window& window = p.window;
  int taps = window.kh * window.kw, stride = (p.out.c + 63) / 64 * 64;
  std::vector<std::vector<bool>> rows, columns;  // the taps inside the input
  auto number = [&](std::vector<std::vector<bool>>& known, int taken, int dilation, int first, int size) {
    std::vector<bool> inside(taken, true);
    for (int k = 0; k < taken && p.doubled; ++k) inside[k] = first + k * dilation >= 0 && first + k * dilation < size;
    auto found = std::find(known.begin(), known.end(), inside);
    if (found == known.end()) found = known.insert(found, inside);
    return static_cast<int32_t>(found - known.begin());
  };
  std::vector<int32_t> of_row, of_column, start;
  for (int y = 0; y < p.out.h; ++y)
    of_row.push_back(number(rows, window.kh, window.dilation_h, y * window.stride_h - window.pad_top, p.in.h));
  for (int x = 0; x < p.out.w; ++x)
    of_column.push_back(number(columns, window.kw, window.dilation_w, x * window.stride_w - window.pad_left, p.in.w));
  for (int32_t& row : of_row) row *= static_cast<int32_t>(columns.size()) * stride;
  for (int32_t& column : of_column) column *= stride;
  std::vector<int32_t> sums(static_cast<size_t>(p.out.c) * taps), ones(p.out.c);
  for (int o = 0; o < p.out.c; ++o)
    for (int i = 0; i < p.in.c; ++i)
      for (int t = 0; t < taps; ++t) {
        int weight = w[(static_cast<size_t>(o) * p.in.c + i) * taps + t];
        sums[static_cast<size_t>(o) * taps + t] += weight, ones[o] += weight > 0;
      }
  start.resize(rows.size() * columns.size() * stride);
  for (size_t place = 0; place < rows.size() * columns.size(); ++place)
    for (int o = 0; o < p.out.c; ++o) {
      int32_t sum = 0;
      for (int t = 0; t < taps; ++t)
        if (rows[place / columns.size()][t / window.kw] && columns[place % columns.size()][t % window.kw])
          sum += sums[static_cast<size_t>(o) * taps + t];
      start[place * stride + o] = ones[o] * ((1 << p.planes) - 1) * (1 << p.doubled) - in.zero_points[0] * sum;
    }
  p.start = step.keep(start), p.start_rows = step.keep(of_row), p.start_columns = step.keep(of_column);
}

// Finds where the bit of an output channel changes. From acc to bit is monotone, since every rounding is, so there is one such
// place at most, and halving finds it in 32 steps:
//
//   acc   INT32_MIN .......... below | above .......... INT32_MAX
//   bit   other     .......... other | last  .......... last
//
// `above` becomes the threshold: bit = (acc >= above) ^ flip, with flip where `last` is 0. A bit that never changes has its
// threshold at INT32_MIN.
void set_thresholds(KernelStep<BitgemmParams>& step, const Tensor* table) {
  BitgemmParams& p = step.params;
  const Epilogue& e = p.epilogue;
  std::vector<int32_t> thresholds((p.out.c + 63) / 64 * 64, INT32_MIN);
  std::vector<uint32_t> flips(thresholds.size() / 32, ~uint32_t{0});
  for (int c = 0; c < p.out.c; ++c) {
    auto bit = [&](int64_t acc) {
      float t = static_cast<float>(static_cast<int32_t>(acc)) * e.m[c];
      t = t + e.b[c];
      uint8_t code = clipped_code(t, e.lo, e.hi);
      return (table ? table->as<uint8_t>()[(table->shape.size() == 2 ? 256 * c : 0) + code] : code) != 0;
    };
    int64_t below = INT32_MIN, above = INT32_MAX;  // bit(above) is the one that holds from the threshold on
    bool last = bit(above);
    if (bit(below) == last) {
      above = below;
    } else {
      while (above - below > 1) {
        int64_t middle = (above + below) >> 1;
        (bit(middle) == last ? above : below) = middle;
      }
    }
    thresholds[c] = static_cast<int32_t>(above);
    if (last) flips[c / 32] &= ~(uint32_t{1} << c % 32);
  }
  p.thresholds = step.keep(thresholds), p.flips = step.keep(flips);
}

bool compares(const Tensor& table, const Epilogue& e) {
  auto codes = table.as<uint8_t>();
  Comparison ignored;
  for (size_t i = 0; i < codes.size(); i += 256)
    if (!is_comparison(codes.data() + i + static_cast<int>(e.lo), static_cast<int>(e.hi - e.lo), ignored)) return false;
  return true;
}

std::unique_ptr<Step> make_bitgemm(const Graph& graph, const Layout& layout, const Layer& layer, Features features,
                                   const Window& window) {
  auto step = std::make_unique<KernelStep<BitgemmParams>>(graph, layout, layer);
  const Node& node = *layer.node;
  const Value &in = graph.values[step->in], &out = graph.values[step->out];
  auto weights = node.tensors.at("weight").as<int8_t>();
  BitgemmParams& p = step->params;
  p.window = window, p.planes = in.planes, p.doubled = in.step == 2, p.packed_planes = out.planes;
  p.masked = std::find(weights.begin(), weights.end(), 0) != weights.end();
  if (step->second >= 0) p.second = layout.place(step->second).map;
  set_starts(*step, in, weights);
  p.epilogue = step->epilogue(graph, node, floats(node, "m"), floats(node, "b"));
  if (out.planes == 1 && !p.epilogue.residual && (!layer.table || compares(*layer.table, p.epilogue)))
    set_thresholds(*step, layer.table);
  step->macs = static_cast<int64_t>(p.out.h) * p.out.w * p.out.c * p.in.c * window.kh * window.kw;
  step->bind(bitgemm_kernels(), features, weights.data());
  return step;
}

}  // namespace

Halo window_halo(const Graph& graph, const Node& node) {
  Window w = conv_window(node);
  Extent in = extent(graph.values[node.inputs[0]]), out = extent(graph.values[node.output]);
  auto beyond = [](int outs, int stride, int taps, int dilation, int pad, int size) {
    return std::max(0, (outs - 1) * stride - pad + (taps - 1) * dilation + 1 - size);
  };
  return {w.pad_top, w.pad_left, beyond(out.h, w.stride_h, w.kh, w.dilation_h, w.pad_top, in.h),
          beyond(out.w, w.stride_w, w.kw, w.dilation_w, w.pad_left, in.w)};
}

bool is_depthwise(const Graph& graph, const Node& node) {
  if (node.op != "conv2d" || graph.values[node.inputs[0]].planes) return false;
  int groups = node.attrs.at("groups")[0];
  return groups > 1 && groups == extent(graph.values[node.inputs[0]]).c && groups == extent(graph.values[node.output]).c;
}

std::unique_ptr<Step> make_conv2d(const Graph& graph, const Layout& layout, const Layer& layer, Features features) {
  Window window = conv_window(*layer.node);
  if (graph.values[layer.node->inputs[0]].planes) return make_bitgemm(graph, layout, layer, features, window);
  int groups = layer.node->attrs.at("groups")[0];
  if (is_depthwise(graph, *layer.node))
    return make_convolution<DepthwiseParams>(graph, layout, layer, features, window, groups, depthwise_kernels());
  return make_convolution<IgemmParams>(graph, layout, layer, features, window, groups, igemm_kernels());
}

bool is_grouped(const Node& node) { return node.op == "linear" && node.tensors.at("m").shape.size() == 2; }

// A kernel for one pixel, run for each of several.
class PixelsStep : public Step {
 public:
  PixelsStep(std::unique_ptr<Step> one, const Map& in, const Map& out, const Map& residual)
      : one_(std::move(one)), in_(in), out_(out), second_(residual) {
    int pixels = out.h * out.w;
    name = one_->name, op = one_->op, kernel = one_->kernel + ", pixel by pixel", isa = one_->isa;
    macs = one_->macs * pixels, bytes = one_->bytes, weight_bytes = one_->weight_bytes;
    Step::in = one_->in, second = one_->second, Step::out = one_->out;
    units = one_->units * pixels, scratch_bytes = one_->scratch_bytes;
  }

  void run(const Buffers& at, int begin, int end) const noexcept override {
    for (int unit = begin, last; unit < end; unit = last) {
      int pixel = unit / one_->units, first = pixel * one_->units;
      last = std::min(end, first + one_->units);
      Buffers of_pixel = at;
      of_pixel.in += offset(in_, pixel), of_pixel.out += offset(out_, pixel);
      if (at.second) of_pixel.second += offset(second_, pixel);
      one_->run(of_pixel, unit - first, last - first);
    }
  }

 private:
  static ptrdiff_t offset(const Map& map, int pixel) { return pixel / map.w * map.row + pixel % map.w * map.pixel; }

  std::unique_ptr<Step> one_;
  Map in_, out_, second_;
};

// Whether all weights fit four bits. A linear layer of one pixel reads each weight once, so it keeps such weights packed.
bool has_few_bits(const Node& node) {
  auto weights = node.tensors.at("weight").as<int8_t>();
  return std::all_of(weights.begin(), weights.end(), [](int w) { return w >= -7 && w <= 7; });
}

std::unique_ptr<Step> make_grouped(const Graph& graph, const Layout& layout, const Layer& layer, Features features) {
  auto step = std::make_unique<KernelStep<GroupedParams>>(graph, layout, layer);
  const Node& node = *layer.node;
  auto weights = node.tensors.at("weight").as<int8_t>();
  auto m = node.tensors.at("m").as<float>();
  GroupedParams& p = step->params;
  p.groups = groups_of(node);
  p.few_bits = has_few_bits(node);
  if (step->second >= 0) p.second = layout.place(step->second).map;
  int depth = depth_of(p), outs = padded_outs(p);
  std::vector<int32_t> start(static_cast<size_t>(p.groups) * outs);
  std::vector<float> scales(start.size());
  auto starts_of = starts(graph.values[step->in], weights, p.out.c * p.groups, depth, 1, p.out.c * p.groups);
  for (int o = 0; o < p.out.c; ++o)
    for (int g = 0; g < p.groups; ++g) {
      start[static_cast<size_t>(g) * outs + o] = starts_of[o * p.groups + g];
      scales[static_cast<size_t>(g) * outs + o] = m[o * p.groups + g];
    }
  p.start = step->keep(start), p.m = step->keep(scales);
  p.epilogue = step->epilogue(graph, node, {}, floats(node, "b"));
  step->macs = static_cast<int64_t>(p.out.c) * p.in.c;
  step->bind(grouped_kernels(), features, weights.data());
  if (p.out.h * p.out.w > 1) return std::make_unique<PixelsStep>(std::move(step), p.in, p.out, p.second);
  return step;
}

// Over tokens it is a convolution of 1 x 1. Where it writes one pixel, its input may be C, H, W, because a flatten before it
// was removed: weights [O, C * H * W] are then a window of H x W.
std::unique_ptr<Step> make_linear(const Graph& graph, const Layout& layout, const Layer& layer, Features features) {
  Extent in = extent(graph.values[layer.node->inputs[0]]), out = extent(graph.values[layer.output]);
  bool one_pixel = out.h * out.w == 1;
  Window window = {one_pixel ? in.h : 1, one_pixel ? in.w : 1, 1, 1, 0, 0, 1, 1};
  if (graph.values[layer.node->inputs[0]].planes) return make_bitgemm(graph, layout, layer, features, window);
  bool packs = in.h == 1 && in.w == 1 && has_few_bits(*layer.node) && has(features, kAvx2);
  if (packs || is_grouped(*layer.node)) return make_grouped(graph, layout, layer, features);
  return make_convolution<IgemmParams>(graph, layout, layer, features, window, 1, igemm_kernels());
}

std::unique_ptr<Step> make_pool(const Graph& graph, const Layout& layout, const Layer& layer, Features features) {
  auto step = std::make_unique<KernelStep<PoolParams>>(graph, layout, layer);
  const Node& node = *layer.node;
  const Value& out = graph.values[node.output];
  PoolParams& p = step->params;
  p.pool = node.op == "max_pool2d" ? Pool::max : node.op == "avg_pool2d" ? Pool::average : Pool::global_average;
  p.zp = graph.values[step->in].zero_point(0), p.table = step->table();
  p.to_float = out.is_float;
  if (!out.is_float) p.out_zp = out.shift(), p.hi = static_cast<float>(out.max_code);
  if (p.pool != Pool::global_average) {
    const auto& kernel = node.attrs.at("kernel");
    p.window = window_of(node, kernel[0], kernel[1]);
  }
  if (p.pool != Pool::max) {
    std::vector<float> m = floats(node, "m");
    p.m_per_pixel = m.size() > 1;
    p.m = step->keep(m);
  }
  step->bind(pool_kernels(), features);
  return step;
}

std::unique_ptr<Step> make_elementwise(const Graph& graph, const Layout& layout, const Layer& layer, Features features) {
  auto step = std::make_unique<KernelStep<ElementwiseParams>>(graph, layout, layer);
  const Node& node = *layer.node;
  const Value &a = graph.values[step->in], &b = graph.values[step->second], &out = graph.values[node.output];
  ElementwiseParams& p = step->params;
  p.op = node.op == "add" ? Elementwise::add : Elementwise::mul;
  p.second = layout.place(step->second).map;
  p.per_channel = a.shape != b.shape;
  p.zp = a.zero_point(0), p.second_zp = b.zero_point(0);
  p.m = floats(node, p.op == Elementwise::add ? "m_a" : "m")[0];
  if (p.op == Elementwise::add) p.m_second = floats(node, "m_b")[0];
  if (!out.is_float) p.out_zp = out.shift();
  p.epilogue = step->store(graph, node);
  p.epilogue.narrow = std::max(std::abs(p.m), std::abs(p.m_second)) < 0x1p14f;  // times 255 * 255 at most
  step->bind(elementwise_kernels(), features);
  return step;
}

std::unique_ptr<Step> make_affine(const Graph& graph, const Layout& layout, const Layer& layer, Features features) {
  auto step = std::make_unique<KernelStep<ElementwiseParams>>(graph, layout, layer);
  const Node& node = *layer.node;
  const Value& in = graph.values[step->in];
  ElementwiseParams& p = step->params;
  p.op = Elementwise::affine, p.zp = in.zero_point(0);
  std::vector<float> m = floats(node, "m"), b;
  if (node.op == "batch_norm") b = floats(node, "b");
  m.resize(p.in.c, m[0]);
  b.resize(p.in.c, -0.0f);  // t + -0 is t, for every t
  p.epilogue = step->epilogue(graph, node, m, b);
  if (in.zero_points.size() > 1) p.zps = step->keep(in.zero_points);
  step->bind(elementwise_kernels(), features);
  return step;
}

std::unique_ptr<Step> make_table(const Graph& graph, const Layout& layout, const Layer& layer, Features features) {
  if (graph.values[layer.output].planes) return make_bitpack(graph, layout, layer, features);
  auto step = std::make_unique<KernelStep<TableParams>>(graph, layout, layer);
  const Tensor& table = layer.node->tensors.at("table");
  step->params.table = step->table(), step->params.per_channel = table.shape.size() == 2;
  step->bind(table_kernels(), features);
  return step;
}

std::unique_ptr<Step> make_bitpack(const Graph& graph, const Layout& layout, const Layer& layer, Features features) {
  auto step = std::make_unique<KernelStep<BitpackParams>>(graph, layout, layer);
  BitpackParams& p = step->params;
  p.planes = graph.values[step->out].planes, p.table = step->table();
  p.per_channel = p.table && layer.node->tensors.at("table").shape.size() == 2;
  int last = graph.values[step->in].max_stored();
  std::vector<uint8_t> thresholds((p.out.c + 63) / 64 * 64), identity(256, 1);
  std::vector<uint32_t> flips(thresholds.size() / 32);
  identity[0] = 0;
  bool compares = p.planes == 1;
  for (int c = 0; c < p.out.c && compares; ++c) {
    Comparison found = {};
    compares = is_comparison(p.table ? p.table + (p.per_channel ? 256 * c : 0) : identity.data(), last, found);
    thresholds[c] = found.threshold;
    flips[c / 32] |= uint32_t{found.flip} << c % 32;
  }
  if (compares) p.thresholds = step->keep(thresholds), p.flips = step->keep(flips);
  step->bind(bitpack_kernels(), features);
  return step;
}

}  // namespace bitwright
