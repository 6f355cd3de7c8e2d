#include <cstring>

#include "training/loops.h"
#include "training/numbers.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are passed to functions that are always inlined, never across a boundary
#endif

// The parameters and the sums of neighbouring columns stay in registers while the rows of a piece go by. Vectors are those of
// the compiler.
namespace bitwright {
namespace {

#if defined(__AVX512F__)
constexpr size_t kLanes = 16;
#elif defined(__AVX__)
constexpr size_t kLanes = 8;
#else
constexpr size_t kLanes = 4;
#endif
static_assert(kColumns % kLanes == 0);

using Vector = float __attribute__((vector_size(4 * kLanes)));
using Bits = uint32_t __attribute__((vector_size(4 * kLanes)));
using Halves = uint16_t __attribute__((vector_size(2 * kLanes)));

BITWRIGHT_IN_CLONES Vector all(float x) { return x - Vector{}; }
BITWRIGHT_IN_CLONES Vector take(const float* x) {
  Vector v;
  std::memcpy(&v, x, sizeof v);
  return v;
}
BITWRIGHT_IN_CLONES Vector take(const uint16_t* x) {
  Halves h;
  std::memcpy(&h, x, sizeof h);
  return (Vector)(__builtin_convertvector(h, Bits) << 16);
}
BITWRIGHT_IN_CLONES void put(float* to, Vector v) { std::memcpy(to, &v, sizeof v); }
BITWRIGHT_IN_CLONES void put(uint16_t* to, Vector v) {  // to nearest, ties to even; v is finite
  const Bits bits = (Bits)v;
  const Halves h = __builtin_convertvector((bits + 0x7fff + (bits >> 16 & 1)) >> 16, Halves);
  std::memcpy(to, &h, sizeof h);
}

struct Column {
  Vector mean, gain, shift, slope, after;
  BITWRIGHT_IN_CLONES Column(const Columns& all, size_t at)
      : mean(take(all.mean + at)),
        gain(take(all.gain + at)),
        shift(take(all.shift + at)),
        slope(take(all.slope + at)),
        after(take(all.after + at)) {}
};

BITWRIGHT_IN_CLONES Vector clipped(Vector p, float low, float high) {  // NaN stays NaN
  p = p < low ? all(low) : p;
  return p > high ? all(high) : p;
}

// `centred_code` of a vector.
BITWRIGHT_IN_CLONES Vector code_of(Vector t, const FakeQuantizer& q) {
  t = clipped(t + q.zero, 0, q.hi);
  return ((t + kWhole) - kWhole) - q.zero;
}

template <class T>
void moments(const T* x, size_t rows, size_t width, const float* centre, float* sums, float* squares) {
  for (size_t at = 0; at < width; at += kLanes) {
    const Vector middle = take(centre + at);
    Vector sum{}, square{};
    const T* from = x + at;
    for (size_t row = 0; row < rows; ++row, from += width) {
      const Vector d = take(from) - middle;
      sum += d;
      square += d * d;
    }
    put(sums + at, sum);
    put(squares + at, square);
  }
}

template <class T>
void forward(const T* x, const T* residual, T* y, size_t rows, size_t width, const Columns& columns, const Finish& given) {
  const Finish how = given;  // a copy: what is written cannot be part of it
  for (size_t at = 0; at < width; at += kLanes) {
    const Column c(columns, at);
    for (size_t row = 0; row < rows; ++row) {
      const size_t i = row * width + at;
      Vector p = (take(x + i) - c.mean) * c.gain + c.shift;
      if (residual) p += take(residual + i);
      if (how.slope) p = (p > 0 ? p : p * c.slope) + c.after;
      p = clipped(p, how.low, how.high);
      if (how.rounding == Rounding::kCodes)
        p = code_of(p * how.codes.inverse, how.codes) * how.codes.scale;
      else if (how.rounding != Rounding::kNone)
        p = p > 0 ? all(how.codes.scale) : (p <= 0 ? all(-how.codes.scale) : p);
      put(y + i, p);
    }
  }
}

struct Total {
  Vector z{}, zx{}, slope{}, after{}, scale{};
};

// dL/dp where dL/dy is g; adds what reaches the scale.
BITWRIGHT_IN_CLONES Vector through_rounding(Vector g, Vector p, Vector& scale, const Finish& how) {
  const FakeQuantizer& q = how.codes;
  const Vector t = clipped(p, how.low, how.high) * q.inverse, zero{};
  const auto between = (p > how.low) & (p < how.high);
  if (how.rounding == Rounding::kCodes) {
    const Vector code = code_of(t, q);
    const auto inside = (t > -q.zero) & (t < q.hi - q.zero);
    scale += g * (inside ? code - t : code);
    return inside & between ? g : zero;
  }
  if (how.rounding == Rounding::kSign) {
    scale += t > 0 ? g : -g;
    return (t > -1.0f) & (t < 1.0f) & between ? g : zero;
  }
  if (how.rounding == Rounding::kTriangle) {
    const Vector slope = 2.0f - 2.0f * (t < 0 ? -t : t);
    g *= slope < 0 ? zero : slope;
  }
  return between ? g : zero;
}

template <class T>
void backward(const T* x, const T* residual, const T* gradient, T* dz, size_t rows, size_t width, const Columns& columns,
              const Finish& given, float* sums) {
  const Finish how = given;
  for (size_t at = 0; at < width; at += kLanes) {
    const Column c(columns, at);
    Total total;
    for (size_t row = 0; row < rows; ++row) {
      const size_t i = row * width + at;
      const Vector u = take(x + i) - c.mean, zero{};
      Vector z = u * c.gain + c.shift, d = take(gradient + i);
      if (residual) z += take(residual + i);
      if (how.slope) {
        d = through_rounding(d, (z > 0 ? z : z * c.slope) + c.after, total.scale, how);
        total.after += d;
        total.slope += z > 0 ? zero : d * z;
        d = z > 0 ? d : d * c.slope;
      } else {
        d = through_rounding(d, z, total.scale, how);
      }
      total.z += d;
      total.zx += d * u;
      put(dz + i, d);
    }
    const Vector* parts[] = {&total.z, &total.zx, &total.slope, &total.after, &total.scale};
    for (size_t part = 0; part < 5; ++part) put(sums + part * width + at, *parts[part]);
  }
}

template <class T>
void affine(const T* dz, const T* x, T* dx, size_t rows, size_t width, const float* mean, const float* a, const float* b,
            const float* c) {
  for (size_t at = 0; at < width; at += kLanes) {
    const Vector middle = take(mean + at), gain = take(a + at), of_x = take(b + at), shift = take(c + at);
    for (size_t row = 0; row < rows; ++row) {
      const size_t i = row * width + at;
      put(dx + i, take(dz + i) * gain + (take(x + i) - middle) * of_x + shift);
    }
  }
}

template <class T>
constexpr FinishLoops<T> kLoops = {moments<T>, forward<T>, backward<T>, affine<T>};

}  // namespace

const Loops BITWRIGHT_KERNEL(loops) = {kLoops<float>, kLoops<uint16_t>};

}  // namespace bitwright
