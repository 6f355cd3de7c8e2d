// Runs of bytes, copied or filled by vectors of 32 and less. The last vector begins so much earlier that it ends with the run:
// those bytes are written twice. (Masks would write them once, and take four times as long.)
#pragma once

#include <immintrin.h>

#include "kernels/move/blocks.h"

namespace bitwright {
namespace {

inline __m128i load(const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
inline void store(uint8_t* to, __m128i x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), x); }

template <class Piece>
inline void copy_ends(const uint8_t* in, uint8_t* out, int64_t count) {
  Piece first, last;
  __builtin_memcpy(&first, in, sizeof(Piece)), __builtin_memcpy(&last, in + count - sizeof(Piece), sizeof(Piece));
  __builtin_memcpy(out, &first, sizeof(Piece)), __builtin_memcpy(out + count - sizeof(Piece), &last, sizeof(Piece));
}

constexpr int64_t kLongRun = 1024;  // from which on the C library's way of copying and filling is faster

inline void copy_run(const uint8_t* in, uint8_t* out, int64_t count) {
  if (count >= kLongRun) return static_cast<void>(__builtin_memcpy(out, in, static_cast<size_t>(count)));
  for (; count > 64; count -= 32, in += 32, out += 32)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in)));
  if (count >= 32) return copy_ends<__m256i>(in, out, count);
  if (count >= 16) return copy_ends<__m128i>(in, out, count);
  if (count >= 8) return copy_ends<uint64_t>(in, out, count);
  if (count >= 4) return copy_ends<uint32_t>(in, out, count);
  for (int64_t i = 0; i < count; ++i) out[i] = in[i];
}

inline void fill_run(uint8_t* out, int64_t count, uint8_t code) {
  if (count >= kLongRun) return static_cast<void>(__builtin_memset(out, code, static_cast<size_t>(count)));
  const __m256i codes = _mm256_set1_epi8(static_cast<char>(code));
  int64_t c = 0;
  for (; c + 32 <= count; c += 32) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + c), codes);
  if (c + 16 <= count) store(out + c, _mm256_castsi256_si128(codes)), c += 16;
  if (c + 8 <= count) _mm_storel_epi64(reinterpret_cast<__m128i*>(out + c), _mm256_castsi256_si128(codes)), c += 8;
  for (; c < count; ++c) out[c] = code;
}

}  // namespace
}  // namespace bitwright
