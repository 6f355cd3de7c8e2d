// What the depthwise kernels for AVX-512 share: a block of 64 channels, or of 32 or 16 at two or four places of the row at
// once, so that the registers are full all the same. Needs AVX-512 F, BW, DQ, VL and VNNI.
//
// Four pixels a, b, c, d are interleaved so that each int32 lane holds their codes of one channel, for VPDPBUSD. Unpacking
// stays within the four 128-bit parts of a vector; of part 0, with the channel as a number:
//
//   load            a0 a1 a2 ... a15            b0 b1 ... b15         c0 ...    d0 ...
//   unpack bytes    a0 b0 a1 b1 ... a7 b7       a8 b8 ... a15 b15     and c, d alike
//   unpack words    vector 0:  a0 b0 c0 d0  a1 b1 c1 d1  a2 b2 c2 d2  a3 b3 c3 d3
//                   vector 1:  channels 4..7    vector 2:  channels 8..11    vector 3:  channels 12..15
//
// Part 1 begins at channel 16, part 2 at 32, part 3 at 48. So lane i of part p of vector v is channel 16 * p + 4 * v + i.
// Packing four vectors of sums to bytes also stays within the parts and undoes just that, so codes are stored in the order of
// channels, and only the per-channel numbers have to be brought into the order of lanes.
#pragma once

#include <immintrin.h>

#include "kernels/depthwise/depthwise.h"
#include "kernels/epilogue_avx512.h"

namespace bitwright {
namespace {

constexpr int kBlock = 256;  // bytes of four vectors

// The widest block of channels, of 64, 32 or 16, that starts at `c`.
inline int block_width(const DepthwiseParams& p, int c) {
  int left = p.out.c - c;
  return left > 32 ? 64 : left > 16 ? 32 : 16;
}

// The channel in lane `i` of four bytes, vectors one after another, of the block that starts at `c`.
inline int lane_channel(const DepthwiseParams& p, int c, int i) {
  return c + (i % 16 / 4 * 16 + i / 16 * 4 + i % 4) % block_width(p, c);
}

// A block of channels costs its start; so where a map is small, threads share its blocks.
inline DepthwiseGrid grid512(const DepthwiseParams& p, int rows) { return {p, rows, p.out.h * p.out.w < 256}; }

// 16 bytes from each of kPlaces * (4 / kPlaces) addresses, or more at once where they are neighbours.
template <int kPlaces>
__m512i load_places(const uint8_t* const (&x)[kPlaces], ptrdiff_t offset) {
  if constexpr (kPlaces == 1) return _mm512_loadu_si512(x[0] + offset);
  if constexpr (kPlaces == 2) {
    auto half = [&](int i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x[i] + offset)); };
    return _mm512_inserti64x4(_mm512_castsi256_si512(half(0)), half(1), 1);
  }
  if constexpr (kPlaces == 4) {
    auto part = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x[i] + offset)); };
    __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(part(0)), part(1), 1);
    __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(part(2)), part(3), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
}

inline void interleave(__m512i a, __m512i b, __m512i c, __m512i d, __m512i (&quads)[4]) {
  __asm__("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d));  // or gcc loads each twice, mostly across two cache lines
  __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
  __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
  quads[0] = _mm512_unpacklo_epi16(ab_low, cd_low), quads[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
  quads[2] = _mm512_unpacklo_epi16(ab_high, cd_high), quads[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
}

// acc += quads * weights, in place; `weights` are kBlock bytes.
__attribute__((always_inline)) inline void multiply_add(__m512i (&acc)[4], const __m512i (&quads)[4], const int8_t* weights) {
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) acc[v] = _mm512_dpbusd_epi32(acc[v], quads[v], _mm512_load_si512(weights + 64 * v));
}

// A block's accumulators: what they start from, and how they are turned into codes and stored.
template <int kPlaces>
class Lanes512 {
 public:
  static constexpr int kWidth = 64 / kPlaces;

  Lanes512(const DepthwiseParams& p, int c)
      : table_(p.epilogue.table),
        narrow_(p.epilogue.narrow),
        look_up_(p.epilogue.table != nullptr),
        vbmi_(p.vbmi),
        pixel_(p.out.pixel) {
    bound_ = _mm512_set1_ps(p.epilogue.hi);
    hi_ = _mm512_set1_epi8(static_cast<char>(static_cast<int>(p.epilogue.hi)));
    lo_ = _mm512_set1_epi8(static_cast<char>(static_cast<int>(p.epilogue.lo)));
    mask_ = first_lanes(p.out.lanes - c < kWidth ? p.out.lanes - c : kWidth);
    for (int v = 0; v < 4; ++v) {
      start_[v] = in_lane_order(p.start + c, v);
      m_[v] = _mm512_castsi512_ps(in_lane_order(p.epilogue.m + c, v));
      b_[v] = _mm512_castsi512_ps(in_lane_order(p.epilogue.b + c, v));
    }
  }

  __attribute__((always_inline)) void start(__m512i (&acc)[4]) const {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) acc[v] = start_[v];
  }

  // `out` is the block's first channel in the row's first pixel.
  __attribute__((always_inline)) void store(const __m512i (&acc)[4], uint8_t* out, const int (&place)[kPlaces]) const {
    __m512i codes[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      __m512 t = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[v]), m_[v]), b_[v]);
      if (!narrow_) t = _mm512_min_ps(t, bound_);
      codes[v] = _mm512_cvtps_epi32(t);
    }
    __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(codes[0], codes[1]), _mm512_packs_epi32(codes[2], codes[3]));
    bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, lo_), hi_);
    if (look_up_) bytes = vbmi_ ? table_.look_up_by_vbmi(bytes) : table_.look_up(bytes);
    if constexpr (kPlaces == 1) _mm512_mask_storeu_epi8(out + place[0] * pixel_, mask_, bytes);
    if constexpr (kPlaces == 2) {
      auto mask = static_cast<__mmask32>(mask_);
      _mm256_mask_storeu_epi8(out + place[0] * pixel_, mask, _mm512_castsi512_si256(bytes));
      _mm256_mask_storeu_epi8(out + place[1] * pixel_, mask, _mm512_extracti64x4_epi64(bytes, 1));
    }
    if constexpr (kPlaces == 4) {
      auto mask = static_cast<__mmask16>(mask_);
      _mm_mask_storeu_epi8(out + place[0] * pixel_, mask, _mm512_castsi512_si128(bytes));
      _mm_mask_storeu_epi8(out + place[1] * pixel_, mask, _mm512_extracti32x4_epi32(bytes, 1));
      _mm_mask_storeu_epi8(out + place[2] * pixel_, mask, _mm512_extracti32x4_epi32(bytes, 2));
      _mm_mask_storeu_epi8(out + place[3] * pixel_, mask, _mm512_extracti32x4_epi32(bytes, 3));
    }
  }

 private:
  // Vector v of 64 numbers, the first kWidth repeated.
  static __m512i in_lane_order(const void* numbers, int v) {
    const auto* from = static_cast<const uint8_t*>(numbers);
    const uint8_t* lanes[4];
    for (int lane = 0; lane < 4; ++lane) lanes[lane] = from + 4 * ((16 * lane + 4 * v) % kWidth);
    return load_places<4>(lanes, 0);
  }

  Table512 table_;
  __m512i start_[4];
  __m512 m_[4], b_[4], bound_;
  __m512i lo_, hi_;
  bool narrow_, look_up_, vbmi_;
  __mmask64 mask_;
  ptrdiff_t pixel_;
};

}  // namespace
}  // namespace bitwright
