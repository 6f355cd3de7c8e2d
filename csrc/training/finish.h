// What follows the products of a layer while it trains, in one pass forward and two back:
//
//     z = (x - mean[c]) * gain[c] + shift[c] + residual      p = z > 0 ? z : slope[c] * z, + after[c]
//     y = rounded(clip(p, low, high))
//
// x [rows, channels], float32 or bfloat16 (as its 16 bits). Each part may be missing. A batch norm is gain = weight /
// deviation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "training/fake_quantize.h"

namespace bitwright {

enum class Rounding {
  kNone,
  kCodes,     // to codes; the gradient passes where nothing is clipped
  kSign,      // scale * sign(p), zero being negative; the gradient passes where |p| < scale
  kTriangle,  // the same, and the gradient is multiplied by 2 - 2 * |p / scale|
};

struct Finish {
  size_t rows, channels;
  const float *mean, *gain, *shift;  // [channels]; null: 0, 1, 0
  const float *slope, *after;        // [channels] both, or null
  float low, high;                   // infinite where there are no bounds
  Rounding rounding;
  FakeQuantizer codes;
  int threads;
};

// What the gradient writes besides dx, float32 [channels] each: the sums of dL/dz, of dL/dz * (x - mean), of what reaches slope
// and after.
struct Sums {
  float *of_z, *of_zx, *of_slope, *of_after;
};

// The mean and the variance (divided by the rows) of each channel.
void channel_moments(const float* x, size_t rows, size_t channels, int threads, float* mean, float* variance);
void channel_moments(const uint16_t* x, size_t rows, size_t channels, int threads, float* mean, float* variance);

// y for every x; residual may be null.
void finish(const float* x, const float* residual, float* y, const Finish& how);
void finish(const uint16_t* x, const uint16_t* residual, uint16_t* y, const Finish& how);

// dz = dL/dz where dL/dy is `gradient`; returns dL/dscale.
double finish_gradient(const float* x, const float* residual, const float* gradient, float* dz, const Finish& how,
                       const Sums& sums);
double finish_gradient(const uint16_t* x, const uint16_t* residual, const uint16_t* gradient, uint16_t* dz, const Finish& how,
                       const Sums& sums);

// dx = dz * a[c] + (x - mean[c]) * b[c] + c[c], which is what a batch norm makes of dz; dx may be dz.
struct Affine {
  const float *mean, *a, *b, *c;
};
void channel_affine(const float* dz, const float* x, float* dx, size_t rows, size_t channels, const Affine& by, int threads);
void channel_affine(const uint16_t* dz, const uint16_t* x, uint16_t* dx, size_t rows, size_t channels, const Affine& by,
                    int threads);

}  // namespace bitwright
