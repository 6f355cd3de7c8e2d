// The epilogue of docs/arithmetic.md, up to 64 channels of one pixel at a time. Needs AVX-512 F, BW, DQ, VL and VBMI.
//
// clip(rint(t), lo, hi) without a rounding instruction: t is bounded above by hi in float32, where nothing overflows;
// the conversion rounds half to even and turns whatever is too small into a negative number; packing with saturation
// brings that to 0, and lo is a maximum of bytes. lo and hi are codes, so the order does not matter.
#pragma once

#include <immintrin.h>

#include "kernel.h"

namespace bitwright {
namespace {

inline __mmask64 first_lanes(int count) { return count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1; }

// A table of 256 codes in registers.
struct Table512 {
  __m512i quarter[4];

  explicit Table512(const uint8_t* table) {
    for (int i = 0; i < 4; ++i) quarter[i] = table ? _mm512_loadu_si512(table + 64 * i) : _mm512_setzero_si512();
  }
  __m512i look_up(__m512i codes) const {
    __m512i low = _mm512_permutex2var_epi8(quarter[0], codes, quarter[1]);
    __m512i high = _mm512_permutex2var_epi8(quarter[2], codes, quarter[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high);
  }
};

// Four vectors of int32, channel after channel, to 64 bytes with unsigned saturation.
inline __m512i pack_bytes(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
  return _mm512_permutexvar_epi32(order, bytes);
}

class Epilogue512 {
 public:
  explicit Epilogue512(const Epilogue& e)
      : e_(e),
        hi_(_mm512_set1_ps(e.hi)),
        lo_(_mm512_set1_epi8(static_cast<char>(static_cast<int>(e.lo)))),
        m_r_(_mm512_set1_ps(e.m_r)),
        r_zp_(_mm512_set1_epi32(e.r_zp)),
        table_(e.table) {}

  // `acc` are channels c.. of a pixel whose output begins at `out` and residual at `second`; stores the first `count`.
  template <int kVectors>
  void store(const __m512i (&acc)[kVectors], int c, const uint8_t* second, uint8_t* out, int count) const {
    __m512 t[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      t[v] = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[v]), _mm512_loadu_ps(e_.m + c + 16 * v));
      t[v] = _mm512_add_ps(t[v], _mm512_loadu_ps(e_.b + c + 16 * v));
    }
    if (e_.residual)
      for (int v = 0; v < kVectors; ++v) t[v] = _mm512_add_ps(t[v], residual(second + c + 16 * v));
    if (e_.to_float) {
      for (int v = 0; v < kVectors; ++v) {
        auto mask = static_cast<__mmask16>(first_lanes(count > 16 * v ? count - 16 * v : 0));
        _mm512_mask_storeu_ps(out + 4 * (c + 16 * v), mask, t[v]);
      }
      return;
    }
    __m512i codes[4] = {};
    for (int v = 0; v < kVectors; ++v) codes[v] = _mm512_cvtps_epi32(_mm512_min_ps(t[v], hi_));
    __m512i bytes = _mm512_max_epu8(pack_bytes(codes[0], codes[1], codes[2], codes[3]), lo_);
    if (e_.table) bytes = table_.look_up(bytes);
    _mm512_mask_storeu_epi8(out + c, first_lanes(count), bytes);
  }

 private:
  __m512 residual(const uint8_t* codes) const {
    __m512i r = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(r, r_zp_)), m_r_);
  }

  const Epilogue& e_;
  __m512 hi_;
  __m512i lo_;
  __m512 m_r_;
  __m512i r_zp_;
  Table512 table_;
};

}  // namespace
}  // namespace bitwright
