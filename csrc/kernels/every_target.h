// What every_target.cc of several families has in common. For vectors there is `Vec`; the build without them is the plain row,
// and holds the family's table.
#pragma once

#include "kernels/epilogue_scalar.h"
#include "kernels/target.h"
#ifdef BITWRIGHT_VECTORS
#include "kernels/vec/blocks.h"
#else
#include "kernels/rows.h"
#endif

namespace bitwright {
namespace {

// From the first byte of a map to its pixel or token.
[[maybe_unused]] inline ptrdiff_t offset(const Map& map, int pixel) {
  return pixel / map.w * map.row + pixel % map.w * map.pixel;
}

// Of n integers, by their sum and that of their squares: V = n * squares - sum^2 in int64, then f32(1 / sqrt(f64(V) + e)).
[[maybe_unused]] inline float reciprocal_deviation(int64_t n, int64_t sum, int64_t squares, float e) {
  double variance = static_cast<double>(n * squares - sum * sum);
  return static_cast<float>(1.0 / __builtin_sqrt(variance + static_cast<double>(e)));
}

// What the rows with vectors accept.
template <class Params>
bool makes_codes(const Params& p) {
  return !p.epilogue.to_float;
}

}  // namespace
}  // namespace bitwright
