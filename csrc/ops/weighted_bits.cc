// conv2d and linear on bit planes: what is multiplied is counted.
#include "kernels/bitgemm/bitgemm.h"
#include "kernels/epilogue_scalar.h"
#include "ops/weighted.h"
#include "planning/planes.h"

namespace bitwright {
namespace {

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

}  // namespace

std::unique_ptr<Step> make_bitgemm(const Binding& binding, const Window& window) {
  auto step = std::make_unique<KernelStep<BitgemmParams>>(binding);
  const Node& node = *binding.layer.node;
  const Tensor* table = binding.layer.table;
  const Value &in = step->of(Role::codes), &out = step->of(Role::output);
  auto weights = node.tensors.at("weight").as<int8_t>();
  BitgemmParams& p = step->params;
  p.window = window, p.planes = in.planes, p.doubled = in.step == 2, p.packed_planes = out.planes;
  p.masked = std::find(weights.begin(), weights.end(), 0) != weights.end();
  set_starts(*step, in, weights);
  p.epilogue = step->epilogue(floats(node, "m"), floats(node, "b"));
  if (out.planes == 1 && !p.epilogue.residual && (!table || compares(*table, p.epilogue))) set_thresholds(*step, table);
  step->macs = static_cast<int64_t>(p.out.h) * p.out.w * p.out.c * p.in.c * window.kh * window.kw;
  step->bind(bitgemm_kernels(), weights.data());
  return step;
}

}  // namespace bitwright
