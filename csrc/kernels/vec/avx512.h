// Vectors of AVX-512 F, BW, DQ and VL. Tables need two instructions a half with VBMI, and some more without.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/target.h"

namespace bitwright {
inline namespace BITWRIGHT_TARGET {

inline __mmask64 first_lanes(int count) { return count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1; }

// A table of 256 codes in registers.
struct Table512 {
  __m512i quarter[4];

  // Null is a table that must not be looked up in. All codes may occur, so the highest does not matter.
  Table512(const uint8_t* table = nullptr, int /*highest*/ = 255) {
    for (int i = 0; i < 4; ++i) quarter[i] = table ? _mm512_loadu_si512(table + 64 * i) : _mm512_setzero_si512();
  }

  __m512i look_up_any(__m512i codes) const { return look_up(codes); }

  // For processors that have VBMI. In assembly, so that code for those without may hold it, behind a branch.
  __m512i look_up_by_vbmi(__m512i codes) const {
    __m512i low = codes, high = codes;
    __asm__("vpermi2b %2, %1, %0" : "+v"(low) : "v"(quarter[0]), "v"(quarter[1]));
    __asm__("vpermi2b %2, %1, %0" : "+v"(high) : "v"(quarter[2]), "v"(quarter[3]));
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high);
  }

#ifdef __AVX512VBMI__
  __m512i look_up(__m512i codes) const { return look_up_by_vbmi(codes); }
#else
  // VPERMI2W looks 16-bit numbers up: the pair of codes that has the wanted one, at half the index, for even and odd bytes
  // apart. The lowest bit of the index then says which of the pair it is.
  //
  //   byte of `codes`   15 .......... 8  7 ........... 0      index >> 1: the pair;  index & 1: its half
  //                     index of odd     index of even
  __m512i look_up(__m512i codes) const {
    const __m512i one = _mm512_set1_epi16(1);
    __m512i even_half = _mm512_slli_epi16(_mm512_and_si512(codes, one), 3);
    __m512i odd_half = _mm512_slli_epi16(_mm512_and_si512(_mm512_srli_epi16(codes, 8), one), 3);
    __m512i even = _mm512_srlv_epi16(pair(_mm512_srli_epi16(_mm512_slli_epi16(codes, 8), 9)), even_half);
    __m512i odd = _mm512_srlv_epi16(pair(_mm512_srli_epi16(codes, 9)), odd_half);
    return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaaull, even, _mm512_slli_epi16(odd, 8));
  }

 private:
  __m512i pair(__m512i index) const {
    __m512i low = _mm512_permutex2var_epi16(quarter[0], index, quarter[1]);
    __m512i high = _mm512_permutex2var_epi16(quarter[2], index, quarter[3]);
    return _mm512_mask_blend_epi16(_mm512_test_epi16_mask(index, _mm512_set1_epi16(64)), low, high);
  }
#endif
};

// Four vectors of int32, channel after channel, to 64 bytes with unsigned saturation.
inline __m512i pack_bytes(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
  return _mm512_permutexvar_epi32(order, bytes);
}

struct Vec512 {
  using Bytes = __m512i;
  using Ints = __m512i;
  using Floats = __m512;
  using Mask = uint64_t;
  using Table = Table512;
  static constexpr int kBytes = 64, kLanes = 16;

  // Bytes
  static Bytes load(const uint8_t* codes) { return _mm512_loadu_si512(codes); }
  // kParts parts of a vector from different places.
  template <int kParts>
  static Bytes load_parts(const uint8_t* const (&from)[kParts]) {
    if constexpr (kParts == 1) return load(from[0]);
    if constexpr (kParts == 2) {
      auto half = [&](int i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from[i])); };
      return _mm512_inserti64x4(_mm512_castsi256_si512(half(0)), half(1), 1);
    }
    if constexpr (kParts == 4) {
      auto part = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from[i])); };
      __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(part(0)), part(1), 1);
      __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(part(2)), part(3), 1);
      return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    }
  }
  static Bytes splat(float code) { return _mm512_set1_epi8(static_cast<char>(static_cast<int>(code))); }
  static Bytes min(Bytes a, Bytes b) { return _mm512_min_epu8(a, b); }
  static Bytes max(Bytes a, Bytes b) { return _mm512_max_epu8(a, b); }
  // Bytes of each 16 by their numbers in it.
  static Bytes shuffled(Bytes codes, Bytes numbers) { return _mm512_shuffle_epi8(codes, numbers); }
  // Of each 16 bytes the lower half, or the upper one, of `a` and of `b` by turns.
  static Bytes mixed_low(Bytes a, Bytes b) { return _mm512_unpacklo_epi8(a, b); }
  static Bytes mixed_high(Bytes a, Bytes b) { return _mm512_unpackhi_epi8(a, b); }
  static void store(Bytes codes, uint8_t* out, int count) { _mm512_mask_storeu_epi8(out, first_lanes(count), codes); }

  // The parts of a vector, 64 / kParts codes each, to different places; `count` of each.
  template <int kParts>
  static void store_parts(Bytes codes, uint8_t* const (&out)[kParts], int count) {
    if constexpr (kParts == 1) store(codes, out[0], count);
    if constexpr (kParts == 2) {
      auto mask = static_cast<__mmask32>(first_lanes(count));
      _mm256_mask_storeu_epi8(out[0], mask, _mm512_castsi512_si256(codes));
      _mm256_mask_storeu_epi8(out[1], mask, _mm512_extracti64x4_epi64(codes, 1));
    }
    if constexpr (kParts == 4) {
      auto mask = static_cast<__mmask16>(first_lanes(count));
      _mm_mask_storeu_epi8(out[0], mask, _mm512_castsi512_si128(codes));
      _mm_mask_storeu_epi8(out[1], mask, _mm512_extracti32x4_epi32(codes, 1));
      _mm_mask_storeu_epi8(out[2], mask, _mm512_extracti32x4_epi32(codes, 2));
      _mm_mask_storeu_epi8(out[3], mask, _mm512_extracti32x4_epi32(codes, 3));
    }
  }

  // A bit for each byte
  static Mask first(int count) { return first_lanes(count); }
  static Mask at_least(Bytes a, Bytes b) { return _mm512_cmpge_epu8_mask(a, b); }
  static Mask bits(Bytes codes, int plane) {
    return _mm512_test_epi8_mask(codes, _mm512_set1_epi8(static_cast<char>(1 << plane)));
  }

  // Int32, and 16-bit numbers in pairs
  static Ints zero() { return _mm512_setzero_si512(); }
  static Ints splat_int(int number) { return _mm512_set1_epi32(number); }
  static Ints load_ints(const int32_t* from) { return _mm512_loadu_si512(from); }
  static void store_ints(int32_t* to, Ints a) { _mm512_storeu_si512(to, a); }
  static Ints widened_ints(const uint8_t* codes) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  }
  static Ints first_ints(Ints a, int count) {  // the others 0
    return _mm512_maskz_mov_epi32(static_cast<__mmask16>(first_lanes(count)), a);
  }
  static Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  static Ints subtract(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
  static Ints multiply(Ints a, Ints b) { return _mm512_mullo_epi32(a, b); }
  static Ints multiply_words(Ints a, Ints b) { return _mm512_madd_epi16(a, b); }  // and adds the two of each pair
  static Ints add_words(Ints a, Ints b) { return _mm512_add_epi16(a, b); }
  static Ints max_ints(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
  // Sums, of which those of squares are int64: the lanes of `sum` plus the squares of two lanes of `a` each.
  static Ints add_squares(Ints sum, Ints a) {
    Ints odd = _mm512_srli_epi64(a, 32);
    return _mm512_add_epi64(sum, _mm512_add_epi64(_mm512_mul_epi32(a, a), _mm512_mul_epi32(odd, odd)));
  }
  static Ints add_bytes(Ints sum, Bytes a) {  // to int64 as well
    return _mm512_add_epi64(sum, _mm512_sad_epu8(a, _mm512_setzero_si512()));
  }
  static int32_t largest_int(Ints a) { return _mm512_reduce_max_epi32(a); }
  static int32_t sum_ints(Ints a) { return _mm512_reduce_add_epi32(a); }
  static int64_t sum_longs(Ints a) { return _mm512_reduce_add_epi64(a); }
  static Ints low_bytes(Ints words) { return _mm512_and_si512(words, _mm512_set1_epi16(0xff)); }
  static Ints high_bytes(Ints words) { return _mm512_srli_epi16(words, 8); }
  static Ints low_words(Ints a) { return _mm512_and_si512(a, _mm512_set1_epi32(0xffff)); }
  static Ints high_words(Ints a) { return _mm512_srli_epi32(a, 16); }
  static Ints shifted_in(Ints bytes, Ints code) { return _mm512_or_si512(_mm512_slli_epi32(bytes, 8), code); }

  // Float32
  static Floats splat_float(float number) { return _mm512_set1_ps(number); }
  static Floats load_floats(const float* from) { return _mm512_loadu_ps(from); }
  static void store_floats(float* to, Floats t) { _mm512_storeu_ps(to, t); }
  static Floats min_floats(Floats a, Floats b) { return _mm512_min_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }  // rounds once
  static Floats floats(Ints a) { return _mm512_cvtepi32_ps(a); }
  static Ints rounded(Floats t) { return _mm512_cvtps_epi32(t); }  // half to even
  static Floats widened(const uint8_t* codes) { return floats(widened_ints(codes)); }
  // Four vectors, one after the other, saturated to 0..255.
  static Bytes bytes_of(const Ints (&a)[4]) { return pack_bytes(a[0], a[1], a[2], a[3]); }
};

}  // namespace BITWRIGHT_TARGET
}  // namespace bitwright
