// The epilogue of docs/arithmetic.md, 16 channels of one pixel at a time. Needs AVX2. Rounding and clipping are those
// of epilogue_avx512.h: bounded above in float32, converted half to even, packed with saturation, then bounded below.
#pragma once

#include <immintrin.h>

#include "kernel.h"

namespace bitwright {
namespace {

class Epilogue256 {
 public:
  explicit Epilogue256(const Epilogue& e)
      : e_(e),
        hi_(_mm256_set1_ps(e.hi)),
        lo_(_mm_set1_epi8(static_cast<char>(static_cast<int>(e.lo)))),
        m_r_(_mm256_set1_ps(e.m_r)),
        r_zp_(_mm256_set1_epi32(e.r_zp)) {}

  // `acc` are channels c..c+15 of a pixel whose output begins at `out` and residual at `second`; stores `count` of them.
  void store(const __m256i (&acc)[2], int c, const uint8_t* second, uint8_t* out, int count) const {
    __m256 t[2];
    for (int v = 0; v < 2; ++v) {
      t[v] = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[v]), _mm256_loadu_ps(e_.m + c + 8 * v));
      t[v] = _mm256_add_ps(t[v], _mm256_loadu_ps(e_.b + c + 8 * v));
      if (e_.residual) t[v] = _mm256_add_ps(t[v], residual(second + c + 8 * v));
    }
    if (e_.to_float) {
      alignas(32) float whole[16];
      for (int v = 0; v < 2; ++v) _mm256_store_ps(whole + 8 * v, t[v]);
      __builtin_memcpy(out + 4 * c, whole, 4 * (count < 16 ? count : 16));
      return;
    }
    store_codes(t, out + c, count);
  }

  // The codes of 16 values of t.
  void store_codes(const __m256 (&t)[2], uint8_t* out, int count) const { store_bytes(codes(t), out, count); }

  // The codes themselves, through the table if there is one.
  void store_bytes(__m128i bytes, uint8_t* out, int count) const {
    if (count >= 16 && !e_.table) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
      return;
    }
    alignas(16) uint8_t whole[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(whole), bytes);
    if (e_.table)
      for (uint8_t& code : whole) code = e_.table[code];
    __builtin_memcpy(out, whole, count < 16 ? count : 16);
  }

 private:
  __m256 residual(const uint8_t* codes) const {
    __m256i r = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes)));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(r, r_zp_)), m_r_);
  }

  __m128i codes(const __m256 (&t)[2]) const {
    __m256i low = _mm256_cvtps_epi32(_mm256_min_ps(t[0], hi_)), high = _mm256_cvtps_epi32(_mm256_min_ps(t[1], hi_));
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    return _mm_max_epu8(bytes, lo_);
  }

  const Epilogue& e_;
  __m256 hi_;
  __m128i lo_;
  __m256 m_r_;
  __m256i r_zp_;
};

}  // namespace
}  // namespace bitwright
