// The epilogue of docs/arithmetic.md, one value at a time. For scalar rows, and for tails of the others.
#pragma once

#include <cstring>

#include "kernels/kernel.h"

namespace bitwright {
namespace {

inline uint8_t clipped_code(float t, float lo, float hi) {
  t = __builtin_rintf(t);
  return static_cast<uint8_t>(t < lo ? lo : t > hi ? hi : t);
}

// What follows m and b, for output channel c of the pixel at `out`; `second` is the residual's pixel, if there is one.
inline void finish_float(const Epilogue& e, int c, float t, const uint8_t* second, uint8_t* out) {
  if (e.residual) {
    float r = static_cast<float>(second[c] - e.r_zp) * e.m_r;
    t = t + r;
  }
  if (e.to_float) {
    std::memcpy(out + 4 * c, &t, 4);
    return;
  }
  uint8_t code = clipped_code(t, e.lo, e.hi);
  out[c] = e.table ? e.table[code] : code;
}

inline void finish(const Epilogue& e, int c, int32_t acc, const uint8_t* second, uint8_t* out) {
  float t = static_cast<float>(acc) * e.m[c];
  t = t + e.b[c];
  finish_float(e, c, t, second, out);
}

}  // namespace
}  // namespace bitwright
