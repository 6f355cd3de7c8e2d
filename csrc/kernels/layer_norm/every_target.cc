// The same algorithm for all targets; sums are of integers, so their order does not matter. With x the codes as they are
// stored (zero points cancel), over the n channels of a pixel:
//
//   x  = rint(sum of m[c] * (code - zp) over the summands, in float32, in order)      where there are several
//   S1 = sum x,  S2 = sum x^2        first pass
//   r  = reciprocal_deviation(n, S1, S2, e)
//   t  = f32(n * x - S1) * r;  t = t * m[c];  t = t + b[c]        second pass
#include "kernels/layer_norm/layer_norm.h"

#include "kernels/every_target.h"

namespace bitwright {
namespace {

int units(const LayerNormParams& p) { return p.in.h * p.in.w; }

// What the second pass needs of a pixel.
struct Moments {
  Moments(const LayerNormParams& p, int64_t s1, int64_t s2)
      : sum(static_cast<int32_t>(s1)), r(reciprocal_deviation(p.in.c, s1, s2, p.e)) {}
  int32_t sum;
  float r;
};

// The numbers of a pixel that is a sum, in a thread's scratch memory.
size_t scratch_bytes(const LayerNormParams& p) { return p.count ? 4 * static_cast<size_t>((p.in.c + 63) / 64 * 64) : 0; }

#ifdef BITWRIGHT_VECTORS

struct Codes {
  Vec::Ints operator()(int c) const { return Vec::widened_ints(codes + c); }
  const uint8_t* codes;
};

struct Sums {
  Vec::Ints operator()(int c) const { return Vec::load_ints(numbers + c); }
  const int32_t* numbers;
};

Vec::Floats term(const uint8_t* codes, int zp, const float* m) {
  return Vec::floats(Vec::subtract(Vec::widened_ints(codes), Vec::splat_int(zp))) * Vec::load_floats(m);
}

// Lanes beyond the last channel hold anything.
Sums add_up(const LayerNormParams& p, const Buffers& at, int pixel) {
  auto* numbers = reinterpret_cast<int32_t*>(at.scratch);
  for (int c = 0; c < p.in.c; c += Vec::kBytes) {
    Vec::Floats t[4];
    const uint8_t* codes = at.in + offset(p.in, pixel) + c;
    unrolled<4>([&](auto v) BITWRIGHT_INLINE { t[v] = term(codes + Vec::kLanes * v, p.zp, p.m + c + Vec::kLanes * v); });
    for (int i = 0; i < p.count; ++i) {
      const Summand& of = p.summands[i];
      codes = at.summands[i] + offset(of.map, pixel) + c;
      unrolled<4>([&](auto v)
                      BITWRIGHT_INLINE { t[v] = t[v] + term(codes + Vec::kLanes * v, of.zp, of.m + c + Vec::kLanes * v); });
    }
    unrolled<4>([&](auto v) BITWRIGHT_INLINE { Vec::store_ints(numbers + c + Vec::kLanes * v, Vec::rounded(t[v])); });
  }
  return {numbers};
}

// Lanes beyond the last channel count as 0.
template <class Numbers>
Moments moments(const LayerNormParams& p, const Numbers& numbers) {
  Vec::Ints sum = Vec::zero(), squares = Vec::zero();
  for (int c = 0; c < p.in.c; c += Vec::kLanes) {
    Vec::Ints x = Vec::first_ints(numbers(c), p.in.c - c);
    sum = Vec::add(sum, x);
    squares = Vec::add_squares(squares, x);
  }
  return {p, Vec::sum_ints(sum), Vec::sum_longs(squares)};
}

// How a pixel's codes are made.
struct Norm {
  explicit Norm(const LayerNormParams& p)
      : p(p),
        table(p.epilogue.table, static_cast<int>(p.epilogue.hi)),
        bound(Vec::splat_float(p.epilogue.hi)),
        lo(Vec::splat(p.epilogue.lo)),
        hi(Vec::splat(p.epilogue.hi)),
        n(Vec::splat_int(p.in.c)) {}

  template <class Numbers>
  void operator()(const Numbers& numbers, uint8_t* out) const {
    const Epilogue& e = p.epilogue;
    const Moments of = moments(p, numbers);
    const Vec::Ints sum = Vec::splat_int(of.sum);
    const Vec::Floats r = Vec::splat_float(of.r);
    for (int c = 0; c < p.out.c; c += Vec::kBytes) {
      Vec::Ints codes[4];
      unrolled<4>([&](auto v) BITWRIGHT_INLINE {
        int lane = c + Vec::kLanes * v;
        Vec::Floats t = Vec::floats(Vec::subtract(Vec::multiply(numbers(lane), n), sum)) * r;
        t = t * Vec::load_floats(e.m + lane) + Vec::load_floats(e.b + lane);
        codes[v] = Vec::rounded(e.narrow ? t : Vec::min_floats(t, bound));
      });
      Vec::Bytes bytes = Vec::min(Vec::max(Vec::bytes_of(codes), lo), hi);
      if (e.table) bytes = table.look_up(bytes);
      Vec::store(bytes, out + c, p.out.lanes - c < Vec::kBytes ? p.out.lanes - c : Vec::kBytes);
    }
  }

  const LayerNormParams& p;
  Vec::Table table;
  Vec::Floats bound;
  Vec::Bytes lo, hi;
  Vec::Ints n;
};

void run(const LayerNormParams& p, const Buffers& at, int begin, int end) {
  const Norm norm(p);
  for (int pixel = begin; pixel < end; ++pixel) {
    uint8_t* out = at.out + offset(p.out, pixel);
    if (p.count)
      norm(add_up(p, at, pixel), out);
    else
      norm(Codes{at.in + offset(p.in, pixel)}, out);
  }
}

#else

// Channel c of a pixel.
int32_t number(const LayerNormParams& p, const Buffers& at, int pixel, int c) {
  int code = at.in[offset(p.in, pixel) + c];
  if (p.count == 0) return code;
  float t = static_cast<float>(code - p.zp) * p.m[c];
  for (int i = 0; i < p.count; ++i) {
    const Summand& of = p.summands[i];
    float term = static_cast<float>(at.summands[i][offset(of.map, pixel) + c] - of.zp) * of.m[c];
    t = t + term;
  }
  return static_cast<int32_t>(__builtin_rintf(t));
}

void run(const LayerNormParams& p, const Buffers& at, int begin, int end) {
  for (int pixel = begin; pixel < end; ++pixel) {
    int64_t s1 = 0, s2 = 0;
    for (int c = 0; c < p.in.c; ++c) {
      int64_t x = number(p, at, pixel, c);
      s1 += x, s2 += x * x;
    }
    const Moments of(p, s1, s2);
    for (int c = 0; c < p.in.c; ++c) {
      float t = static_cast<float>(p.in.c * number(p, at, pixel, c) - of.sum) * of.r;
      t = t * p.epilogue.m[c];
      t = t + p.epilogue.b[c];
      finish_float(p.epilogue, c, t, nullptr, at.out + offset(p.out, pixel));
    }
  }
}

#endif

}  // namespace

const Kernel<LayerNormParams> BITWRIGHT_KERNEL(layer_norm) = {units, nullptr, nullptr, scratch_bytes, run};

}  // namespace bitwright

#ifndef BITWRIGHT_VECTORS
#define FAMILY layer_norm
#define PARAMS LayerNormParams
#include "kernels/family.inc"
#endif
