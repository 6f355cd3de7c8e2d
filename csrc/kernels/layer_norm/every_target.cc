// The same algorithm for all targets; sums are of integers, so their order does not matter. With x the codes as they are
// stored (zero points cancel), over the n channels of a pixel:
//
//   S1 = sum x,  S2 = sum x^2        first pass
//   V  = n * S2 - S1^2               int64
//   r  = f32(1 / sqrt(f64(V) + e))
//   t  = f32(n * x - S1) * r;  t = t * m[c];  t = t + b[c]        second pass
#include "kernels/layer_norm/layer_norm.h"

#include "kernels/epilogue_scalar.h"
#include "kernels/target.h"
#ifdef __AVX2__
#include "kernels/unrolled.h"
#include "kernels/vec/vec.h"
#else
#include "kernels/rows.h"
#endif

namespace bitwright {
namespace {

int units(const LayerNormParams& p) { return p.in.h * p.in.w; }

// What the second pass needs of a pixel.
struct Moments {
  Moments(const LayerNormParams& p, int64_t s1, int64_t s2) : sum(static_cast<int32_t>(s1)) {
    double variance = static_cast<double>(p.in.c * s2 - s1 * s1);
    r = static_cast<float>(1.0 / __builtin_sqrt(variance + static_cast<double>(p.e)));
  }
  int32_t sum;
  float r;
};

template <class F>
void for_pixels(const LayerNormParams& p, const Buffers& at, int begin, int end, const F& f) {
  for (int unit = begin; unit < end; ++unit) {
    int y = unit / p.in.w, x = unit % p.in.w;
    f(at.in + y * p.in.row + x * p.in.pixel, at.out + y * p.out.row + x * p.out.pixel);
  }
}

#ifdef __AVX2__

// Lanes beyond the last channel count as 0.
Moments moments(const LayerNormParams& p, const uint8_t* codes) {
  Vec::Ints sum = Vec::zero(), squares = Vec::zero();
  for (int c = 0; c < p.in.c; c += Vec::kLanes) {
    Vec::Ints x = Vec::first_ints(Vec::widened_ints(codes + c), p.in.c - c);
    sum = Vec::add(sum, x);
    squares = Vec::add_squares(squares, x);
  }
  return {p, Vec::sum_ints(sum), Vec::sum_longs(squares)};
}

void run(const LayerNormParams& p, const Buffers& at, int begin, int end) {
  const Vec::Table table(p.epilogue.table, static_cast<int>(p.epilogue.hi));
  const bool look_up = p.epilogue.table != nullptr, narrow = p.epilogue.narrow;
  const Vec::Floats bound = Vec::splat_float(p.epilogue.hi);
  const Vec::Bytes lo = Vec::splat(p.epilogue.lo), hi = Vec::splat(p.epilogue.hi);
  const Vec::Ints n = Vec::splat_int(p.in.c);
  for_pixels(p, at, begin, end, [&](const uint8_t* in, uint8_t* out) {
    const Moments of = moments(p, in);
    const Vec::Ints sum = Vec::splat_int(of.sum);
    const Vec::Floats r = Vec::splat_float(of.r);
    for (int c = 0; c < p.out.c; c += Vec::kBytes) {
      Vec::Ints codes[4];
      unrolled<4>([&](auto v) BITWRIGHT_INLINE {
        int at_lane = c + Vec::kLanes * v;
        Vec::Floats t = Vec::floats(Vec::subtract(Vec::multiply(Vec::widened_ints(in + at_lane), n), sum)) * r;
        t = t * Vec::load_floats(p.epilogue.m + at_lane) + Vec::load_floats(p.epilogue.b + at_lane);
        codes[v] = Vec::rounded(narrow ? t : Vec::min_floats(t, bound));
      });
      Vec::Bytes bytes = Vec::min(Vec::max(Vec::bytes_of(codes), lo), hi);
      if (look_up) bytes = table.look_up(bytes);
      Vec::store(bytes, out + c, p.out.lanes - c < Vec::kBytes ? p.out.lanes - c : Vec::kBytes);
    }
  });
}

#else

void run(const LayerNormParams& p, const Buffers& at, int begin, int end) {
  for_pixels(p, at, begin, end, [&](const uint8_t* in, uint8_t* out) {
    int64_t s1 = 0, s2 = 0;
    for (int c = 0; c < p.in.c; ++c) {
      int64_t x = in[c];
      s1 += x, s2 += x * x;
    }
    const Moments of(p, s1, s2);
    for (int c = 0; c < p.in.c; ++c) {
      float t = static_cast<float>(p.in.c * in[c] - of.sum) * of.r;
      t = t * p.epilogue.m[c];
      t = t + p.epilogue.b[c];
      finish_float(p.epilogue, c, t, nullptr, out);
    }
  });
}

bool makes_codes(const LayerNormParams& p) { return !p.epilogue.to_float; }

#endif

}  // namespace

const Kernel<LayerNormParams> BITWRIGHT_KERNEL(layer_norm) = {units, nullptr, nullptr, nullptr, run};

#ifndef __AVX2__

KernelTable<LayerNormParams> layer_norm_kernels() {
  static constexpr KernelRow<LayerNormParams> rows[] = {
#define ROW(symbol, name, needs, accepts) {name, needs, accepts, &symbol},
#include "kernels/layer_norm/rows.inc"
#undef ROW
  };
  return rows;
}

const Family layer_norm_family("layer_norm", layer_norm_kernels());

#endif

}  // namespace bitwright
