#include "training/fake_quantize.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "training/numbers.h"
#include "training/team.h"

// The order of the sum of dL/dscale is fixed by kLanes.
namespace bitwright {
namespace {

constexpr size_t kLanes = 16;    // partial sums, so that they are added in vectors
constexpr size_t kSummed = 4096;  // numbers whose products are summed in float32 before they go to a double

template <class T>
BITWRIGHT_IN_CLONES void forward(const T* x, T* y, size_t size, const FakeQuantizer& q) {
  for (size_t i = 0; i < size; ++i) store(y[i], centred_code(load(x[i]) * q.inverse, q) * q.scale);
}

// A block in loops of one width each, which compilers can make vectors of. `sums` takes the products of dL/dscale.
template <class T>
BITWRIGHT_IN_CLONES void backward_block(const T* x, const T* gradient, T* dx, size_t size, const FakeQuantizer& q,
                                        float (&sums)[kLanes]) {
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
BITWRIGHT_IN_CLONES double backward(const T* x, const T* gradient, T* dx, size_t size, const FakeQuantizer& q) {
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

#define BITWRIGHT_PIECES(T)                                                                                              \
  BITWRIGHT_CLONES void forward_piece(const T* x, T* y, size_t size, const FakeQuantizer& q) { forward(x, y, size, q); } \
  BITWRIGHT_CLONES double backward_piece(const T* x, const T* gradient, T* dx, size_t size, const FakeQuantizer& q) {    \
    return backward(x, gradient, dx, size, q);                                                                           \
  }
BITWRIGHT_PIECES(float)
BITWRIGHT_PIECES(uint16_t)

constexpr size_t kPiece = 65536;  // numbers that a thread takes at a time, so that sums do not depend on how many there are

template <class T>
void run_forward(const T* x, T* y, size_t size, const FakeQuantizer& q, int threads) {
  share((size + kPiece - 1) / kPiece, threads, [&](size_t k) {
    const size_t at = k * kPiece;
    forward_piece(x + at, y + at, std::min(kPiece, size - at), q);
  });
}

template <class T>
double run_backward(const T* x, const T* gradient, T* dx, size_t size, const FakeQuantizer& q, int threads) {
  std::vector<double> sums((size + kPiece - 1) / kPiece);
  share(sums.size(), threads, [&](size_t k) {
    const size_t at = k * kPiece;
    sums[k] = backward_piece(x + at, gradient + at, dx + at, std::min(kPiece, size - at), q);
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace

void fake_quantize(const float* x, float* y, size_t size, const FakeQuantizer& q, int threads) {
  run_forward(x, y, size, q, threads);
}
void fake_quantize(const uint16_t* x, uint16_t* y, size_t size, const FakeQuantizer& q, int threads) {
  run_forward(x, y, size, q, threads);
}
double fake_quantize_gradient(const float* x, const float* gradient, float* dx, size_t size, const FakeQuantizer& q,
                              int threads) {
  return run_backward(x, gradient, dx, size, q, threads);
}
double fake_quantize_gradient(const uint16_t* x, const uint16_t* gradient, uint16_t* dx, size_t size, const FakeQuantizer& q,
                              int threads) {
  return run_backward(x, gradient, dx, size, q, threads);
}

}  // namespace bitwright
