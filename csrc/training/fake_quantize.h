// Fake quantization for training, in one pass each way: y = scale * (clip(round(x / scale + zero), 0, hi) - zero).
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// `zero` and `hi`, the largest code, are whole numbers below 2^22. `inverse` is 1 / scale.
struct FakeQuantizer {
  float scale, inverse, zero, hi;
};

// y[i] for each of `size` numbers, float32 or bfloat16 (as its 16 bits).
void fake_quantize(const float* x, float* y, size_t size, const FakeQuantizer& q, int threads);
void fake_quantize(const uint16_t* x, uint16_t* y, size_t size, const FakeQuantizer& q, int threads);

// The gradients where dL/dy is `gradient`: dx = gradient inside, 0 where x was clipped; returns dL/dscale, which is the sum of
// gradient * (code - zero - x / scale) inside and gradient * (code - zero) where clipped.
double fake_quantize_gradient(const float* x, const float* gradient, float* dx, size_t size, const FakeQuantizer& q,
                              int threads);
double fake_quantize_gradient(const uint16_t* x, const uint16_t* gradient, uint16_t* dx, size_t size, const FakeQuantizer& q,
                              int threads);

}  // namespace bitwright
