// The epilogue of docs/arithmetic.md, 16 channels of a pixel at a time and two pixels together. Needs AVX2. Rounding and
// clipping are those of epilogue_avx512.h: converted half to even, packed with saturation, then bounded.
#pragma once

#include <immintrin.h>

#include "kernels/kernel.h"
#include "kernels/unrolled.h"
#include "kernels/vec/avx2.h"

namespace bitwright {
namespace {

class Epilogue256 {
 public:
  explicit Epilogue256(const Epilogue& e)
      : e_(e),
        table_(e.table, static_cast<int>(e.hi)),
        bound_(_mm256_set1_ps(e.hi)),
        hi_(_mm256_set1_epi8(static_cast<char>(static_cast<int>(e.hi)))),
        lo_(_mm256_set1_epi8(static_cast<char>(static_cast<int>(e.lo)))),
        m_r_(_mm256_set1_ps(e.m_r)),
        r_zp_(_mm256_set1_epi32(e.r_zp)) {}

  // acc[r] are channels c..c+15 of a pixel whose output begins at out[r] and residual at second[r]; stores `count` of each.
  template <int kPixels>
  BITWRIGHT_INLINE void store(const __m256i (&acc)[kPixels][2], int c, const uint8_t* const* second, uint8_t* const* out,
                              int count) const {
    __m256 t[kPixels][2];
    unrolled<2>([&](auto v) BITWRIGHT_INLINE {
      __m256 m = _mm256_loadu_ps(e_.m + c + 8 * v), b = _mm256_loadu_ps(e_.b + c + 8 * v);
      unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
        t[r][v] = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc[r][v]), m), b);
        if (e_.residual) t[r][v] = _mm256_add_ps(t[r][v], residual(second[r] + c + 8 * v));
      });
    });
    if (e_.to_float) return store_floats(t, c, out, count);
    store_codes(t, out, count, c);
  }

  // The codes of 16 values of t for each of some pixels, from channel c on.
  template <int kPixels>
  BITWRIGHT_INLINE void store_codes(const __m256 (&t)[kPixels][2], uint8_t* const* out, int count, int c = 0) const {
    constexpr int kPairs = (kPixels + 1) / 2;
    __m256i codes[kPairs];
    unrolled<kPairs>([&](auto pair) BITWRIGHT_INLINE {
      constexpr int first = 2 * pair, second = first + 1 < kPixels ? first + 1 : first;
      __m256i words = _mm256_packs_epi32(rounded(t[first][0]), rounded(t[first][1]));
      __m256i others = _mm256_packs_epi32(rounded(t[second][0]), rounded(t[second][1]));
      __m256i bytes =
          _mm256_permutevar8x32_epi32(_mm256_packus_epi16(words, others), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
      codes[pair] = _mm256_max_epu8(_mm256_min_epu8(bytes, hi_), lo_);
    });
    if (table_) table_.look_up(codes);
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
      store_lanes(r % 2 ? _mm256_extracti128_si256(codes[r / 2], 1) : _mm256_castsi256_si128(codes[r / 2]), out[r] + c, count);
    });
  }

 private:
  __m256i rounded(__m256 t) const { return _mm256_cvtps_epi32(e_.narrow ? t : _mm256_min_ps(t, bound_)); }

  __m256 residual(const uint8_t* codes) const {
    __m256i r = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes)));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(r, r_zp_)), m_r_);
  }

  // Unrolled, or t would have to be in memory for all.
  template <int kPixels>
  BITWRIGHT_INLINE static void store_floats(const __m256 (&t)[kPixels][2], int c, uint8_t* const* out, int count) {
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
      alignas(32) float whole[16];
      unrolled<2>([&](auto v) BITWRIGHT_INLINE { _mm256_store_ps(whole + 8 * v, t[r][v]); });
      __builtin_memcpy(out[r] + 4 * c, whole, 4 * (count < 16 ? count : 16));
    });
  }

  const Epilogue& e_;
  Table256 table_;
  __m256 bound_;
  __m256i hi_, lo_;
  __m256 m_r_;
  __m256i r_zp_;
};

}  // namespace
}  // namespace bitwright
