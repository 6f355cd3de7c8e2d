// The epilogue of docs/arithmetic.md, 16 channels of a pixel at a time and two pixels together. Needs AVX2. Rounding and clipping
// are those of epilogue_avx512.h: converted half to even, packed with saturation, then bounded.
#pragma once

#include <immintrin.h>

#include "kernel.h"
#include "unrolled.h"

namespace bitwright {
namespace {

// A table of 256 codes as 16 rows, each looked up by VPSHUFB, which gives 0 where the top bit of a code is set. Rows are kept
// as what they differ in from the row before: a code takes all rows up to its own, from the first of its half of the table.
class Table256 {
 public:
  // For codes up to `highest`; null is no table.
  Table256(const uint8_t* table, int highest) : rows_(table ? highest / kRow + 1 : 0) {
    for (int row = 0; row < rows_; ++row) {
      __m128i codes = load(table + kRow * row);
      if (row % kHalf) codes = _mm_xor_si128(codes, load(table + kRow * (row - 1)));
      _mm_store_si128(reinterpret_cast<__m128i*>(differences_ + kRow * row), codes);
    }
  }

  explicit operator bool() const { return rows_ > 0; }

  template <int kCount>
  BITWRIGHT_INLINE void look_up(__m256i (&codes)[kCount]) const {
    __m256i found[kCount] = {}, at[kCount];
    for (int first = 0; first < rows_; first += kHalf) {
      for (int i = 0; i < kCount; ++i) at[i] = first ? _mm256_xor_si256(codes[i], _mm256_set1_epi8(-128)) : codes[i];
      int end = first + kHalf < rows_ ? first + kHalf : rows_;
      for (int row = first; row < end; ++row) {
        __m256i difference = _mm256_broadcastsi128_si256(load(differences_ + kRow * row));
        for (int i = 0; i < kCount; ++i) {
          found[i] = _mm256_xor_si256(found[i], _mm256_shuffle_epi8(difference, at[i]));
          at[i] = _mm256_subs_epi8(at[i], _mm256_set1_epi8(kRow));
        }
      }
    }
    for (int i = 0; i < kCount; ++i) codes[i] = found[i];
  }

 private:
  static constexpr int kRow = 16, kHalf = 8;

  static __m128i load(const uint8_t* codes) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)); }

  int rows_;
  alignas(16) uint8_t differences_[256];
};

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
    uint8_t* to[kPixels];
    for (int r = 0; r < kPixels; ++r) to[r] = out[r] + c;
    store_codes(t, to, count);
  }

  // The codes of 16 values of t for each of some pixels.
  template <int kPixels>
  BITWRIGHT_INLINE void store_codes(const __m256 (&t)[kPixels][2], uint8_t* const* out, int count) const {
    constexpr int kPairs = (kPixels + 1) / 2;
    __m256i codes[kPairs];
    unrolled<kPairs>([&](auto pair) BITWRIGHT_INLINE {
      constexpr int first = 2 * pair, second = first + 1 < kPixels ? first + 1 : first;
      __m256i words = _mm256_packs_epi32(rounded(t[first][0]), rounded(t[first][1]));
      __m256i others = _mm256_packs_epi32(rounded(t[second][0]), rounded(t[second][1]));
      __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(words, others), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
      codes[pair] = _mm256_max_epu8(_mm256_min_epu8(bytes, hi_), lo_);
    });
    if (table_) table_.look_up(codes);
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
      store_bytes(r % 2 ? _mm256_extracti128_si256(codes[r / 2], 1) : _mm256_castsi256_si128(codes[r / 2]), out[r], count);
    });
  }

 private:
  __m256i rounded(__m256 t) const { return _mm256_cvtps_epi32(e_.narrow ? t : _mm256_min_ps(t, bound_)); }

  __m256 residual(const uint8_t* codes) const {
    __m256i r = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes)));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(r, r_zp_)), m_r_);
  }

  static void store_bytes(__m128i bytes, uint8_t* out, int count) {
    if (count >= 16) return _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
    alignas(16) uint8_t whole[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(whole), bytes);
    __builtin_memcpy(out, whole, count);
  }

  template <int kPixels>
  static void store_floats(const __m256 (&t)[kPixels][2], int c, uint8_t* const* out, int count) {
    alignas(32) float whole[16];
    for (int r = 0; r < kPixels; ++r) {
      for (int v = 0; v < 2; ++v) _mm256_store_ps(whole + 8 * v, t[r][v]);
      __builtin_memcpy(out[r] + 4 * c, whole, 4 * (count < 16 ? count : 16));
    }
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
