// The epilogue of docs/arithmetic.md, up to 64 channels of one pixel at a time. Needs AVX-512 F, BW, DQ and VL.
//
// clip(rint(t), lo, hi) without a rounding instruction: the conversion to int32 rounds half to even, packing saturates to
// 0..255, and lo and hi are bounds of bytes. Where t may be beyond int32 it is first bounded above in float32; what is
// too small converts to a negative number and packs to 0. lo and hi are codes, so the order does not matter.
#pragma once

#include <immintrin.h>

#include "kernels/kernel.h"
#include "kernels/unrolled.h"
#include "kernels/vec/avx512.h"

namespace bitwright {

// Consecutive pixels: the addresses of their residuals, if there are any, and of their codes.
struct Pixels512 {
  const uint8_t* const* second;
  uint8_t* const* out;

  BITWRIGHT_INLINE Pixels512 from(int r) const { return {second + r, out + r}; }
};

namespace {

// What the compiler knows about an epilogue. All kinds but `any` write codes, have no t beyond int32, and have at most one of
// residual and table.
enum class Kind { plain, table, residual, any };

inline Kind kind_of(const Epilogue& e) {
  if (!e.narrow || e.to_float || (e.residual && e.table)) return Kind::any;
  return e.table ? Kind::table : e.residual ? Kind::residual : Kind::plain;
}

// One pixel's sums (64-byte aligned), its residual if there is one, and where its codes go.
struct Row512 {
  const int32_t* sums;
  const uint8_t* second;
  uint8_t* out;
};

// Channels c.. of some pixels, with all that is the same for each of them. Where they are few, several pixels are packed
// together.
template <int kVectors>
class Codes512 {
 public:
  static constexpr int kTogether = kVectors == 1 ? 4 : kVectors == 2 ? 2 : 1;

  Codes512(const Epilogue& e, int c, int count)
      : narrow_(e.narrow),
        residual_(e.residual),
        look_up_(e.table != nullptr),
        bound_(_mm512_set1_ps(e.hi)),
        lo_(_mm512_set1_epi8(static_cast<char>(static_cast<int>(e.lo)))),
        hi_(_mm512_set1_epi8(static_cast<char>(static_cast<int>(e.hi)))),
        m_r_(_mm512_set1_ps(e.m_r)),
        r_zp_(_mm512_set1_epi32(e.r_zp)),
        table_(e.table),
        mask_(first_lanes(count)),
        channel_(c) {
    for (int v = 0; v < kVectors; ++v) {
      m_[v] = _mm512_loadu_ps(e.m + c + 16 * v);
      b_[v] = _mm512_loadu_ps(e.b + c + 16 * v);
    }
  }

  // `sum(r, v)` are those of 16 channels of pixel r.
  template <Kind kKind = Kind::any, class Sum>
  BITWRIGHT_INLINE void store(const Pixels512& pixels, const Sum& sum) const {
    __m512i codes[4] = {};
    unrolled<kTogether>([&](auto r) BITWRIGHT_INLINE {
      unrolled<kVectors>([&](auto v) BITWRIGHT_INLINE {
        __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(sum(r, v)), m_[v]);
        t = _mm512_add_ps(t, b_[v]);
        if (kKind == Kind::residual || (kKind == Kind::any && residual_))
          t = _mm512_add_ps(t, residual(pixels.second[r] + channel_ + 16 * v));
        if (kKind == Kind::any && !narrow_) t = _mm512_min_ps(t, bound_);
        codes[r * kVectors + v] = _mm512_cvtps_epi32(t);
      });
    });
    __m512i bytes = pack_bytes(codes[0], codes[1], codes[2], codes[3]);
    bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, lo_), hi_);
    if (kKind == Kind::table || (kKind == Kind::any && look_up_)) bytes = table_.look_up(bytes);
    if constexpr (kTogether == 1) _mm512_mask_storeu_epi8(pixels.out[0] + channel_, mask_, bytes);
    if (kTogether > 1 && are_neighbours(pixels)) return _mm512_storeu_si512(pixels.out[0], bytes);
    if constexpr (kTogether == 2) {
      auto mask = static_cast<__mmask32>(mask_);
      _mm256_mask_storeu_epi8(pixels.out[0] + channel_, mask, _mm512_castsi512_si256(bytes));
      _mm256_mask_storeu_epi8(pixels.out[1] + channel_, mask, _mm512_extracti64x4_epi64(bytes, 1));
    }
    if constexpr (kTogether == 4) {
      auto mask = static_cast<__mmask16>(mask_);
      _mm_mask_storeu_epi8(pixels.out[0] + channel_, mask, _mm512_castsi512_si128(bytes));
      _mm_mask_storeu_epi8(pixels.out[1] + channel_, mask, _mm512_extracti32x4_epi32(bytes, 1));
      _mm_mask_storeu_epi8(pixels.out[2] + channel_, mask, _mm512_extracti32x4_epi32(bytes, 2));
      _mm_mask_storeu_epi8(pixels.out[3] + channel_, mask, _mm512_extracti32x4_epi32(bytes, 3));
    }
  }

 private:
  // Whole pixels that follow each other, so that all is one store. They are in order; the last may be there twice.
  bool are_neighbours(const Pixels512& pixels) const {
    constexpr int kLast = kTogether - 1, kPixel = 16 * kVectors;
    return pixels.out[kLast] - pixels.out[0] == kLast * kPixel &&
           pixels.out[kLast] != pixels.out[kTogether > 1 ? kLast - 1 : 0] && mask_ == first_lanes(kPixel);
  }

  __m512 residual(const uint8_t* codes) const {
    __m512i r = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(r, r_zp_)), m_r_);
  }

  __m512 m_[kVectors], b_[kVectors];
  bool narrow_, residual_, look_up_;
  __m512 bound_;
  __m512i lo_, hi_;
  __m512 m_r_;
  __m512i r_zp_;
  Table512 table_;
  __mmask64 mask_;
  int channel_;
};

// The last layer: t itself, with or without a residual.
__attribute__((noinline)) inline void store_floats(const Epilogue& e, int c, int count, const Row512& row) {
  for (int v = 0; v < 4 && 16 * v < count; ++v) {
    int at = c + 16 * v;
    __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(row.sums + 16 * v)), _mm512_loadu_ps(e.m + at));
    t = _mm512_add_ps(t, _mm512_loadu_ps(e.b + at));
    if (e.residual) {
      __m512i r = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row.second + at)));
      r = _mm512_sub_epi32(r, _mm512_set1_epi32(e.r_zp));
      t = _mm512_add_ps(t, _mm512_mul_ps(_mm512_cvtepi32_ps(r), _mm512_set1_ps(e.m_r)));
    }
    _mm512_mask_storeu_ps(row.out + 4 * at, static_cast<__mmask16>(first_lanes(count - 16 * v)), t);
  }
}

// Finishes channels c.. (16 * kVectors of them, `count` to be stored) of some pixels.
template <int kVectors>
__attribute__((noinline)) void finish_rows(const Epilogue& e, int c, int count, const Row512* rows, int row_count) {
  using Codes = Codes512<kVectors>;
  if (e.to_float) {
    for (int r = 0; r < row_count; ++r) store_floats(e, c, count, rows[r]);
    return;
  }
  const Codes codes(e, c, count);
  for (int r = 0; r < row_count; r += Codes::kTogether) {
    const Row512* row[Codes::kTogether];
    const uint8_t* second[Codes::kTogether];
    uint8_t* out[Codes::kTogether];
    for (int i = 0; i < Codes::kTogether; ++i) {
      row[i] = rows + (r + i < row_count ? r + i : row_count - 1);
      second[i] = row[i]->second, out[i] = row[i]->out;
    }
    codes.store(Pixels512{second, out}, [&](int i, int v) { return _mm512_load_si512(row[i]->sums + 16 * v); });
  }
}

using FinishRows = void (*)(const Epilogue&, int, int, const Row512*, int);
constexpr FinishRows kFinishRows[] = {finish_rows<1>, finish_rows<2>, finish_rows<3>, finish_rows<4>};  // by vectors - 1

}  // namespace
}  // namespace bitwright
