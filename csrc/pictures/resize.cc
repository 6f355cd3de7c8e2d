#include "pictures/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numbers>
#include <stdexcept>
#include <vector>

#include "pictures/taps.h"

namespace bitwright {

#if defined(BITWRIGHT_X86) || defined(BITWRIGHT_ARM)

namespace {

double sinc(double x) { return x == 0 ? 1 : std::sin(x * std::numbers::pi) / (x * std::numbers::pi); }

// How much a pixel weighs that lies x away from the centre of the output pixel. The order of the operations is Pillow's, too.
double weight_at(Filter filter, double x) {
  double size = std::abs(x);
  switch (filter) {
    case Filter::box: return x > -0.5 && x <= 0.5 ? 1 : 0;
    case Filter::bilinear: return size < 1 ? 1 - size : 0;
    case Filter::hamming: return size < 1 ? sinc(size) * (0.54F + 0.46F * std::cos(size * std::numbers::pi)) : 0;
    case Filter::bicubic:
      if (size < 1) return (1.5 * size - 2.5) * size * size + 1;
      return size < 2 ? (((size - 5) * size + 8) * size - 4) * -0.5 : 0;
    case Filter::lanczos: return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
  }
  throw std::logic_error("unknown filter");
}

// How far a filter reaches from the centre, in pixels.
double support(Filter filter) {
  constexpr double supports[] = {0.5, 1, 1, 2, 3};
  return supports[static_cast<int>(filter)];
}

struct AxisTaps {
  int taps = 0;
  std::vector<int> first, count;
  std::vector<int16_t> high, low;

  int outputs() const { return static_cast<int>(first.size()); }
  Taps view() const { return {outputs(), taps, first.data(), high.data(), low.data()}; }
  // The input pixels that are needed: from first[0], as many.
  int inputs() const { return first.back() + count.back() - first[0]; }
};

// The weights of `outputs` output pixels from `begin` on, of an axis of `from` pixels that is resized to `to`.
AxisTaps taps_of(int from, int to, Filter filter, int begin, int outputs) {
  double scale = static_cast<double>(from) / to, stretch = std::max(scale, 1.0), reach = support(filter) * stretch;
  AxisTaps result;
  for (int i = begin; i < begin + outputs; ++i) {
    double centre = (i + 0.5) * scale;
    int first = std::max(static_cast<int>(centre - reach + 0.5), 0),
        end = std::min(static_cast<int>(centre + reach + 0.5), from);
    result.first.push_back(first), result.count.push_back(end - first);
  }
  int most = *std::max_element(result.count.begin(), result.count.end());
  result.taps = (most + kTapsAtOnce - 1) / kTapsAtOnce * kTapsAtOnce;
  result.high.resize(static_cast<size_t>(outputs) * static_cast<size_t>(result.taps));
  result.low.resize(result.high.size());
  std::vector<double> weights(static_cast<size_t>(most));
  for (int i = 0; i < outputs; ++i) {
    auto output = static_cast<size_t>(i);
    auto count = static_cast<size_t>(result.count[output]);
    double centre = (i + begin + 0.5) * scale, inverse = 1.0 / stretch, sum = 0;
    for (size_t t = 0; t < count; ++t) {
      weights[t] = weight_at(filter, (static_cast<int>(t) + result.first[output] - centre + 0.5) * inverse);
      sum += weights[t];
    }
    for (size_t t = 0; t < count; ++t) {
      double weight = sum == 0 ? weights[t] : weights[t] / sum;
      int whole = static_cast<int>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kWeightBits));
      size_t at = output * static_cast<size_t>(result.taps) + t;
      result.high[at] = static_cast<int16_t>(whole >> kLowBits);
      result.low[at] = static_cast<int16_t>(whole & ((1 << kLowBits) - 1));
    }
  }
  return result;
}

}  // namespace

bool can_resize(Features features) { return has(features, kAvx2) || has(features, kNeon); }

void resize_rgb(const uint8_t* pixels, int height, int width, int new_height, int new_width, Filter filter, const Area& area,
                uint8_t* out) {
  AxisTaps columns = taps_of(width, new_width, filter, area.left, area.width);
  AxisTaps rows = taps_of(height, new_height, filter, area.top, area.height);
  const int top = rows.first[0], needed = rows.inputs();
  for (int& first : rows.first) first -= top;

  // The rows that are needed, as wide as the output. Kernels may read beyond the last one, where weights are zero.
  auto row_bytes = static_cast<size_t>(width) * 3, out_bytes = static_cast<size_t>(area.width) * 3;
  size_t stride = out_bytes + kSlack, between_rows = static_cast<size_t>(needed + rows.taps + kRowsAtOnce);
  auto between = std::make_unique_for_overwrite<uint8_t[]>(stride * between_rows);
  std::memset(between.get() + stride * static_cast<size_t>(needed), 0, stride * (between_rows - static_cast<size_t>(needed)));
  size_t copied = row_bytes + static_cast<size_t>(columns.taps) * 3 + kSlack;
  auto copies = std::make_unique<uint8_t[]>(copied * kRowsAtOnce);
  for (int row = 0; row < needed; row += kRowsAtOnce) {
    const uint8_t* in[kRowsAtOnce];
    uint8_t* to[kRowsAtOnce];
    for (int r = 0; r < kRowsAtOnce; ++r) {
      // The last rows of the picture are copied, so that nothing is read beyond its end.
      int from = top + std::min(row + r, needed - 1);
      in[r] = pixels + row_bytes * static_cast<size_t>(from);
      if (static_cast<size_t>(height - from) * row_bytes < copied)
        in[r] = static_cast<uint8_t*>(std::memcpy(copies.get() + copied * static_cast<size_t>(r), in[r], row_bytes));
      to[r] = between.get() + stride * static_cast<size_t>(row + r);
    }
    resize_along_rows(in, to, columns.view());
  }
  for (int row = 0; row < area.height; ++row)
    resize_along_columns(between.get(), static_cast<ptrdiff_t>(stride), rows.view(), row,
                         out + out_bytes * static_cast<size_t>(row), static_cast<int>(out_bytes));
}

#else

bool can_resize(Features) { return false; }

void resize_rgb(const uint8_t*, int, int, int, int, Filter, const Area&, uint8_t*) {
  throw std::logic_error("no kernel resizes on this machine");
}

#endif

}  // namespace bitwright
