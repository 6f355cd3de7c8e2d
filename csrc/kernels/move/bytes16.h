// Vectors of 16 bytes, which x86 and aarch64 both have, and of 32, where they have them, under one set of names.
#pragma once

#include <cstdint>

#ifdef BITWRIGHT_NEON
#include <arm_neon.h>
#else
#include <immintrin.h>
#endif

namespace bitwright {
namespace {

#ifdef BITWRIGHT_NEON

using Bytes16 = uint8x16_t;
using Bytes32 = uint8x16x2_t;
inline Bytes16 load(const uint8_t* from) { return vld1q_u8(from); }
inline void store(uint8_t* to, Bytes16 x) { vst1q_u8(to, x); }
inline void store_half(uint8_t* to, Bytes16 x) { vst1_u8(to, vget_low_u8(x)); }
inline Bytes32 load32(const uint8_t* from) { return vld1q_u8_x2(from); }
inline void store32(uint8_t* to, Bytes32 x) { vst1q_u8_x2(to, x); }
inline Bytes16 splat(uint8_t code) { return vdupq_n_u8(code); }
inline Bytes32 splat32(uint8_t code) { return {{splat(code), splat(code)}}; }
// The lower halves, or the upper ones, of two vectors by turns.
inline Bytes16 mixed_low(Bytes16 a, Bytes16 b) { return vzip1q_u8(a, b); }
inline Bytes16 mixed_high(Bytes16 a, Bytes16 b) { return vzip2q_u8(a, b); }
// x[order[i]], or 0 where order[i] is 0x80.
inline Bytes16 shuffled(Bytes16 x, Bytes16 order) { return vqtbl1q_u8(x, order); }

#else

using Bytes16 = __m128i;
using Bytes32 = __m256i;
inline Bytes16 load(const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
inline void store(uint8_t* to, Bytes16 x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), x); }
inline void store_half(uint8_t* to, Bytes16 x) { _mm_storel_epi64(reinterpret_cast<__m128i*>(to), x); }
inline Bytes32 load32(const uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
inline void store32(uint8_t* to, Bytes32 x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); }
inline Bytes16 splat(uint8_t code) { return _mm_set1_epi8(static_cast<char>(code)); }
inline Bytes32 splat32(uint8_t code) { return _mm256_set1_epi8(static_cast<char>(code)); }
inline Bytes16 mixed_low(Bytes16 a, Bytes16 b) { return _mm_unpacklo_epi8(a, b); }
inline Bytes16 mixed_high(Bytes16 a, Bytes16 b) { return _mm_unpackhi_epi8(a, b); }
inline Bytes16 shuffled(Bytes16 x, Bytes16 order) { return _mm_shuffle_epi8(x, order); }

#endif

}  // namespace
}  // namespace bitwright
