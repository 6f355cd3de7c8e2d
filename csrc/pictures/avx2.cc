#include <immintrin.h>

#include "pictures/taps.h"

namespace bitwright {
namespace {

struct Sums {
  __m256i high = _mm256_setzero_si256(), low = _mm256_setzero_si256();

  // Eight sums of two products each.
  void add(__m256i pairs, __m256i high_weights, __m256i low_weights) {
    high = _mm256_add_epi32(high, _mm256_madd_epi16(pairs, high_weights));
    low = _mm256_add_epi32(low, _mm256_madd_epi16(pairs, low_weights));
  }

  __m256i total() const { return _mm256_add_epi32(_mm256_slli_epi32(high, kLowBits), low); }
};

__m256i rounded(__m256i sums) {
  return _mm256_srai_epi32(_mm256_add_epi32(sums, _mm256_set1_epi32(1 << (kWeightBits - 1))), kWeightBits);
}

__m256i load(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

// Two weights in each 32 bits: the first two in the lower half, the next two in the upper one.
__m256i four_weights(const int16_t* p) {
  __m256i all = _mm256_broadcastq_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  return _mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
}

__m256i two_weights(const int16_t* p) {
  int pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return _mm256_set1_epi32(pair);
}

void store(uint8_t* p, int four_bytes) { __builtin_memcpy(p, &four_bytes, sizeof four_bytes); }

}  // namespace

// A load holds four pixels and four bytes more:  R0 G0 B0 R1 G1 B1 R2 G2 B2 R3 G3 B3 . . . .
// As pairs of 16 bits for VPMADDWD, one for each channel:  R0 R1  G0 G1  B0 B1  0 0 | R2 R3  G2 G3  B2 B3  0 0
void resize_along_rows(const uint8_t* const (&in)[kRowsAtOnce], uint8_t* const (&out)[kRowsAtOnce], const Taps& taps) {
  const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,  //
                                         6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  for (int i = 0; i < taps.outputs; ++i) {
    Sums sums[kRowsAtOnce];
    ptrdiff_t at = ptrdiff_t{3} * taps.first[i], weight = static_cast<ptrdiff_t>(i) * taps.taps;
    for (int tap = 0; tap < taps.taps; tap += kTapsAtOnce, at += 3 * kTapsAtOnce) {
      __m256i high = four_weights(taps.high + weight + tap), low = four_weights(taps.low + weight + tap);
      for (int row = 0; row < kRowsAtOnce; ++row) {
        __m128i pixels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in[row] + at));
        sums[row].add(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(pixels), pairs), high, low);
      }
    }
    __m256i of_two[2];  // rows 0 and 1, rows 2 and 3: the halves of each added up
    for (int k = 0; k < 2; ++k) {
      __m256i a = sums[2 * k].total(), b = sums[2 * k + 1].total();
      of_two[k] = rounded(_mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31)));
    }
    __m256i words = _mm256_packs_epi32(of_two[0], of_two[1]), bytes = _mm256_packus_epi16(words, words);
    store(out[0] + 3 * i, _mm256_extract_epi32(bytes, 0));
    store(out[2] + 3 * i, _mm256_extract_epi32(bytes, 1));
    store(out[1] + 3 * i, _mm256_extract_epi32(bytes, 4));
    store(out[3] + 3 * i, _mm256_extract_epi32(bytes, 5));
  }
}

void resize_along_columns(const uint8_t* in, ptrdiff_t stride, const Taps& taps, int i, uint8_t* out, int bytes) {
  const __m256i zero = _mm256_setzero_si256();
  const int16_t* high = taps.high + static_cast<ptrdiff_t>(i) * taps.taps;
  const int16_t* low = taps.low + static_cast<ptrdiff_t>(i) * taps.taps;
  in += stride * taps.first[i];
  for (int begin = 0; begin < bytes; begin += 32) {
    Sums sums[4];  // of 4 bytes of each half
    for (int tap = 0; tap < taps.taps; tap += 2) {
      const uint8_t* row = in + stride * tap + begin;
      __m256i upper = load(row), lower = load(row + stride);
      __m256i h = two_weights(high + tap), l = two_weights(low + tap);
      __m256i first = _mm256_unpacklo_epi8(upper, lower), second = _mm256_unpackhi_epi8(upper, lower);
      sums[0].add(_mm256_unpacklo_epi8(first, zero), h, l);
      sums[1].add(_mm256_unpackhi_epi8(first, zero), h, l);
      sums[2].add(_mm256_unpacklo_epi8(second, zero), h, l);
      sums[3].add(_mm256_unpackhi_epi8(second, zero), h, l);
    }
    __m256i first = _mm256_packs_epi32(rounded(sums[0].total()), rounded(sums[1].total()));
    __m256i second = _mm256_packs_epi32(rounded(sums[2].total()), rounded(sums[3].total()));
    alignas(32) uint8_t found[32];
    _mm256_store_si256(reinterpret_cast<__m256i*>(found), _mm256_packus_epi16(first, second));
    __builtin_memcpy(out + begin, found, static_cast<size_t>(bytes - begin < 32 ? bytes - begin : 32));
  }
}

}  // namespace bitwright
