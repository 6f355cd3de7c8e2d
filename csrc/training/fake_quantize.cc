#include "training/fake_quantize.h"

#include <bit>

// The loops are plain so that the compiler makes vectors of them; each function is compiled for several instruction sets, and
// the loader picks one. All give the same y and dx; the order of the sum of dL/dscale is fixed by kLanes. (The loader picks
// before the thread sanitizer is ready for the instrumented function that it asks.)
#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_THREAD__)
#define BITWRIGHT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BITWRIGHT_CLONES
#endif

namespace bitwright {
namespace {

constexpr size_t kLanes = 16;          // partial sums, so that they are added in vectors
constexpr size_t kBlock = 512;         // numbers whose parts stay in L1
constexpr size_t kSummed = 4096;       // numbers whose products are summed in float32 before they go to a double
constexpr float kWhole = 12582912.0f;  // 1.5 * 2^23: adding it rounds a number below 2^22 to the nearest whole, ties to even

inline float load(float x) { return x; }
inline float load(uint16_t x) { return std::bit_cast<float>(static_cast<uint32_t>(x) << 16); }

inline void store(float& to, float x) { to = x; }
inline void store(uint16_t& to, float x) {  // to nearest, ties to even; x is finite
  uint32_t bits = std::bit_cast<uint32_t>(x);
  to = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// The code of x = scale * t, less the zero point. NaN stays NaN, so that a loss shows it.
inline float centred_code(float t, const FakeQuantizer& q) {
  t += q.zero;
  t = t < 0 ? 0 : t;
  t = t > q.hi ? q.hi : t;
  return ((t + kWhole) - kWhole) - q.zero;
}

template <class T>
__attribute__((always_inline)) inline void forward(const T* x, T* y, size_t size, const FakeQuantizer& q) {
  for (size_t i = 0; i < size; ++i) store(y[i], centred_code(load(x[i]) * q.inverse, q) * q.scale);
}

// A block in loops of one width each, which compilers can make vectors of. `sums` takes the products of dL/dscale.
template <class T>
__attribute__((always_inline)) inline void backward_block(const T* x, const T* gradient, T* dx, size_t size,
                                                          const FakeQuantizer& q, float (&sums)[kLanes]) {
  float t[kBlock], g[kBlock], slope[kBlock];
  const float lowest = -q.zero, highest = q.hi - q.zero;
  for (size_t i = 0; i < size; ++i) t[i] = load(x[i]) * q.inverse;
  for (size_t i = 0; i < size; ++i) g[i] = load(gradient[i]);
  for (size_t i = 0; i < size; ++i) {
    float code = centred_code(t[i], q);
    bool inside = (t[i] > lowest) & (t[i] < highest);
    slope[i] = g[i] * (inside ? code - t[i] : code);
    t[i] = inside ? g[i] : 0.0f;
  }
  for (size_t i = 0; i < size; ++i) store(dx[i], t[i]);
  for (size_t i = size; i % kLanes; ++i) slope[i] = 0;
  for (size_t i = 0; i < size; i += kLanes)
    for (size_t k = 0; k < kLanes; ++k) sums[k] += slope[i + k];
}

template <class T>
__attribute__((always_inline)) inline double backward(const T* x, const T* gradient, T* dx, size_t size,
                                                      const FakeQuantizer& q) {
  double total = 0;
  for (size_t start = 0; start < size; start += kSummed) {
    float sums[kLanes] = {};
    const size_t end = size - start < kSummed ? size : start + kSummed;
    for (size_t i = start; i < end; i += kBlock)
      backward_block(x + i, gradient + i, dx + i, end - i < kBlock ? end - i : kBlock, q, sums);
    for (float sum : sums) total += sum;
  }
  return total;
}

}  // namespace

BITWRIGHT_CLONES void fake_quantize(const float* x, float* y, size_t size, const FakeQuantizer& q) { forward(x, y, size, q); }
BITWRIGHT_CLONES void fake_quantize(const uint16_t* x, uint16_t* y, size_t size, const FakeQuantizer& q) {
  forward(x, y, size, q);
}
BITWRIGHT_CLONES double fake_quantize_gradient(const float* x, const float* gradient, float* dx, size_t size,
                                               const FakeQuantizer& q) {
  return backward(x, gradient, dx, size, q);
}
BITWRIGHT_CLONES double fake_quantize_gradient(const uint16_t* x, const uint16_t* gradient, uint16_t* dx, size_t size,
                                               const FakeQuantizer& q) {
  return backward(x, gradient, dx, size, q);
}

}  // namespace bitwright
