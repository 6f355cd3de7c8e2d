#include "training/round_weight.h"

#include <algorithm>
#include <cmath>

#include "training/numbers.h"

namespace bitwright {
namespace {

inline float code_of(float t, float lo, float hi) {  // NaN stays NaN
  t = t < lo ? lo : t;
  t = t > hi ? hi : t;
  return (t + kWhole) - kWhole;
}

template <class T>
BITWRIGHT_IN_CLONES void forward(const float* w, T* y, const WeightRounding& how) {
  for (size_t row = 0; row < how.rows; ++row, w += how.count, y += how.count) {
    const float scale = std::max(std::abs(how.scale[row]), how.least);
    for (size_t i = 0; i < how.count; ++i) store(y[i], code_of(w[i] / scale, how.lo, how.hi) * scale);
  }
}

template <class T>
BITWRIGHT_IN_CLONES void backward(const float* w, const T* gradient, float* dw, float* dscale, float factor,
                                  const WeightRounding& how) {
  for (size_t row = 0; row < how.rows; ++row) {
    const float size = std::abs(how.scale[row]), scale = std::max(size, how.least);
    double total = 0;
    for (size_t from = 0, n; from < how.count; from += n, w += n, gradient += n, dw += n) {
      n = std::min(kBlock, how.count - from);
      float g[kBlock], part[kBlock];
      for (size_t i = 0; i < n; ++i) g[i] = load(gradient[i]);
      for (size_t i = 0; i < n; ++i) {
        const float t = w[i] / scale, code = code_of(t, how.lo, how.hi);
        const bool inside = (t >= how.lo) & (t <= how.hi);
        part[i] = g[i] * (inside ? code - t : code);
        dw[i] = inside ? g[i] : 0.0f;
      }
      for (size_t i = 0; i < n; ++i) total += static_cast<double>(part[i]);
    }
    const double sign = how.scale[row] < 0 ? -1 : 1;
    dscale[row] = size < how.least ? 0.0f : static_cast<float>(total * sign * static_cast<double>(factor));
  }
}

}  // namespace

BITWRIGHT_CLONES void round_weight(const float* w, float* y, const WeightRounding& how) { forward(w, y, how); }
BITWRIGHT_CLONES void round_weight(const float* w, uint16_t* y, const WeightRounding& how) { forward(w, y, how); }
BITWRIGHT_CLONES void round_weight_gradient(const float* w, const float* gradient, float* dw, float* dscale, float factor,
                                            const WeightRounding& how) {
  backward(w, gradient, dw, dscale, factor, how);
}
BITWRIGHT_CLONES void round_weight_gradient(const float* w, const uint16_t* gradient, float* dw, float* dscale, float factor,
                                            const WeightRounding& how) {
  backward(w, gradient, dw, dscale, factor, how);
}

}  // namespace bitwright
