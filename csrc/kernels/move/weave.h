// 16 x 16 bytes with rows and columns exchanged. A round weaves the first eight vectors into the last eight, byte by byte: the
// eight bits of a byte's number among all 256 (four of its vector, four inside it) turn by one. After four rounds the halves
// have changed places.
#pragma once

#include <immintrin.h>

namespace bitwright {
namespace {

inline void weave(__m128i x[16]) {
  for (int round = 0; round < 4; ++round) {
    __m128i y[16];
    for (int i = 0; i < 8; ++i) {
      y[2 * i] = _mm_unpacklo_epi8(x[i], x[i + 8]);
      y[2 * i + 1] = _mm_unpackhi_epi8(x[i], x[i + 8]);
    }
    for (int i = 0; i < 16; ++i) x[i] = y[i];
  }
}

}  // namespace
}  // namespace bitwright
