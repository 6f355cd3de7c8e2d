// Vectors of AVX2 and FMA.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/target.h"
#include "kernels/unrolled.h"

namespace bitwright {
inline namespace BITWRIGHT_TARGET {

// A table of 256 codes as 16 rows, each looked up by VPSHUFB, which gives 0 where the top bit of a code is set. Rows are kept
// as what they differ in from the row before: a code takes all rows up to its own, from the first of its half of the table.
class Table256 {
 public:
  // For codes up to `highest`; null is no table.
  Table256(const uint8_t* table = nullptr, int highest = 255) : rows_(table ? highest / kRow + 1 : 0) {
    for (int row = 0; row < rows_; ++row) {
      __m128i codes = load(table + kRow * row);
      if (row % kHalf) codes = _mm_xor_si128(codes, load(table + kRow * (row - 1)));
      _mm_store_si128(reinterpret_cast<__m128i*>(differences_ + kRow * row), codes);
    }
  }

  __m256i look_up(__m256i codes) const {
    __m256i found[] = {codes};
    look_up(found);
    return found[0];
  }

  // In a table of all 256 codes, whose rows need not be counted.
  BITWRIGHT_INLINE __m256i look_up_any(__m256i codes) const {
    __m256i found = _mm256_setzero_si256(), at = codes;
    unrolled<2 * kHalf>([&](auto row) BITWRIGHT_INLINE {
      if constexpr (row == kHalf) at = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
      found = _mm256_xor_si256(found, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load(differences_ + kRow * row)), at));
      at = _mm256_subs_epi8(at, _mm256_set1_epi8(kRow));
    });
    return found;
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

// The first `count` of 16 bytes, all of them if it is more.
inline void store_lanes(__m128i bytes, uint8_t* out, int count) {
  if (count >= 16) return _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
  alignas(16) uint8_t whole[16];
  _mm_store_si128(reinterpret_cast<__m128i*>(whole), bytes);
  __builtin_memcpy(out, whole, count > 0 ? count : 0);
}

struct Vec256 {
  using Bytes = __m256i;
  using Ints = __m256i;
  using Floats = __m256;
  using Mask = uint32_t;
  using Table = Table256;
  static constexpr int kBytes = 32, kLanes = 8;

  // Bytes
  static Bytes load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  // kParts parts of a vector from different places.
  template <int kParts>
  static Bytes load_parts(const uint8_t* const (&from)[kParts]) {
    static_assert(kParts == 1 || kParts == 2);
    if constexpr (kParts == 1) return load(from[0]);
    auto part = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from[i])); };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(part(0)), part(kParts - 1), 1);
  }
  static Bytes splat(float code) { return _mm256_set1_epi8(static_cast<char>(static_cast<int>(code))); }
  static Bytes min(Bytes a, Bytes b) { return _mm256_min_epu8(a, b); }
  static Bytes max(Bytes a, Bytes b) { return _mm256_max_epu8(a, b); }
  // Bytes of each 16 by their numbers in it.
  static Bytes shuffled(Bytes codes, Bytes numbers) { return _mm256_shuffle_epi8(codes, numbers); }
  // Of each 16 bytes the lower half, or the upper one, of `a` and of `b` by turns.
  static Bytes mixed_low(Bytes a, Bytes b) { return _mm256_unpacklo_epi8(a, b); }
  static Bytes mixed_high(Bytes a, Bytes b) { return _mm256_unpackhi_epi8(a, b); }
  static void store(Bytes codes, uint8_t* out, int count) {
    if (count >= kBytes) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), codes);
    store_lanes(_mm256_castsi256_si128(codes), out, count);
    if (count > 16) store_lanes(_mm256_extracti128_si256(codes, 1), out + 16, count - 16);
  }

  // The parts of a vector, 32 / kParts codes each, to different places; `count` of each.
  template <int kParts>
  static void store_parts(Bytes codes, uint8_t* const (&out)[kParts], int count) {
    static_assert(kParts == 1 || kParts == 2);
    if constexpr (kParts == 1) return store(codes, out[0], count);
    store_lanes(_mm256_castsi256_si128(codes), out[0], count);
    store_lanes(_mm256_extracti128_si256(codes, 1), out[kParts - 1], count);
  }

  // A bit for each byte
  static Mask first(int count) { return count >= kBytes ? ~Mask{0} : (Mask{1} << count) - 1; }
  static Mask at_least(Bytes a, Bytes b) { return static_cast<Mask>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(max(a, b), a))); }
  static Mask bits(Bytes codes, int plane) {
    return static_cast<Mask>(_mm256_movemask_epi8(_mm256_slli_epi16(codes, 7 - plane)));
  }

  // Int32, and 16-bit numbers in pairs
  static Ints zero() { return _mm256_setzero_si256(); }
  static Ints splat_int(int number) { return _mm256_set1_epi32(number); }
  static Ints load_ints(const int32_t* from) { return load(from); }
  static void store_ints(int32_t* to, Ints a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), a); }
  static Ints widened_ints(const uint8_t* codes) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes)));
  }
  static Ints first_ints(Ints a, int count) {  // the others 0
    return _mm256_and_si256(a, _mm256_cmpgt_epi32(splat_int(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
  }
  static Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  static Ints subtract(Ints a, Ints b) { return _mm256_sub_epi32(a, b); }
  static Ints multiply(Ints a, Ints b) { return _mm256_mullo_epi32(a, b); }
  static Ints multiply_words(Ints a, Ints b) { return _mm256_madd_epi16(a, b); }  // and adds the two of each pair
  static Ints add_words(Ints a, Ints b) { return _mm256_add_epi16(a, b); }
  static Ints max_ints(Ints a, Ints b) { return _mm256_max_epi32(a, b); }
  // Sums, of which those of squares are int64: the lanes of `sum` plus the squares of two lanes of `a` each.
  static Ints add_squares(Ints sum, Ints a) {
    Ints odd = _mm256_srli_epi64(a, 32);
    return _mm256_add_epi64(sum, _mm256_add_epi64(_mm256_mul_epi32(a, a), _mm256_mul_epi32(odd, odd)));
  }
  static Ints add_bytes(Ints sum, Bytes a) {  // to int64 as well
    return _mm256_add_epi64(sum, _mm256_sad_epu8(a, _mm256_setzero_si256()));
  }
  static int32_t largest_int(Ints a) {
    __m128i half = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    half = _mm_max_epi32(half, _mm_srli_si128(half, 8));
    return _mm_cvtsi128_si32(_mm_max_epi32(half, _mm_srli_si128(half, 4)));
  }
  static int32_t sum_ints(Ints a) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    half = _mm_add_epi32(half, _mm_srli_si128(half, 8));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_srli_si128(half, 4)));
  }
  static int64_t sum_longs(Ints a) {
    alignas(32) int64_t lanes[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), a);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
  }
  static Ints low_bytes(Ints words) { return _mm256_and_si256(words, _mm256_set1_epi16(0xff)); }
  static Ints high_bytes(Ints words) { return _mm256_srli_epi16(words, 8); }
  static Ints low_words(Ints a) { return _mm256_and_si256(a, _mm256_set1_epi32(0xffff)); }
  static Ints high_words(Ints a) { return _mm256_srli_epi32(a, 16); }
  static Ints shifted_in(Ints bytes, Ints code) { return _mm256_or_si256(_mm256_slli_epi32(bytes, 8), code); }

  // Float32
  static Floats splat_float(float number) { return _mm256_set1_ps(number); }
  static Floats load_floats(const float* from) { return _mm256_loadu_ps(from); }
  static void store_floats(float* to, Floats t) { _mm256_storeu_ps(to, t); }
  static Floats min_floats(Floats a, Floats b) { return _mm256_min_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }  // rounds once
  static Floats floats(Ints a) { return _mm256_cvtepi32_ps(a); }
  static Ints rounded(Floats t) { return _mm256_cvtps_epi32(t); }  // half to even
  static Floats widened(const uint8_t* codes) { return floats(widened_ints(codes)); }
  // Four vectors, one after the other, saturated to 0..255.
  static Bytes bytes_of(const Ints (&a)[4]) {
    __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(a[0], a[1]), _mm256_packs_epi32(a[2], a[3]));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }
};

}  // namespace BITWRIGHT_TARGET
}  // namespace bitwright
