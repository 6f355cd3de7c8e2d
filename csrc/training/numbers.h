// float32 and bfloat16 (as its 16 bits) in memory, and what all loops of training share.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "training/fake_quantize.h"

// The loops are plain so that the compiler makes vectors of them; each function is compiled for several instruction sets, and
// the loader picks one. All give the same numbers. (The loader picks before the thread sanitizer is ready for the instrumented
// function that it asks.)
#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_THREAD__)
#define BITWRIGHT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BITWRIGHT_CLONES
#endif
#define BITWRIGHT_IN_CLONES __attribute__((always_inline)) inline

namespace bitwright {

constexpr size_t kBlock = 512;         // numbers whose parts stay in L1
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

}  // namespace bitwright
