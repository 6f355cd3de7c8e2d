// Fake quantization of a weight for training: y = s * clip(round(w / s), lo, hi), with a scale for each of its rows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// w [rows, count]; the scale of a row is s = max(|scale[row]|, least).
struct WeightRounding {
  size_t rows, count;
  const float* scale;
  float least, lo, hi;
};

void round_weight(const float* w, float* y, const WeightRounding& how);
void round_weight(const float* w, uint16_t* y, const WeightRounding& how);  // bfloat16, as its bits

// dw = gradient inside, 0 where w was clipped. dscale[row] = factor * sign(scale) * the sum of gradient * (code - w / s) inside
// and gradient * code where clipped; 0 where the scale is below `least`.
void round_weight_gradient(const float* w, const float* gradient, float* dw, float* dscale, float factor,
                           const WeightRounding& how);
void round_weight_gradient(const float* w, const uint16_t* gradient, float* dw, float* dscale, float factor,
                           const WeightRounding& how);

}  // namespace bitwright
