// Codes are widened to 32 bits by TBL, and multiplied there: a weight is a lane of a vector of four.
#include "kernels/vec/neon.h"
#include "pictures/taps.h"

namespace bitwright {
namespace {

int32x4_t four_weights(const int16_t* high, const int16_t* low) {
  return vaddw_s16(vshll_n_s16(vld1_s16(high), kLowBits), vld1_s16(low));
}

// Four bytes, each in the lowest of 32 bits: those at `first`, `first + 1` and so on, `count` of them and zeros.
uint8x16_t widening(int first, int count) {
  uint8_t places[16];
  for (int i = 0; i < 16; ++i) places[i] = static_cast<uint8_t>(i % 4 == 0 && i / 4 < count ? first + i / 4 : 0xff);
  return vld1q_u8(places);
}

template <int kLane>
BITWRIGHT_INLINE inline int32x4_t add(int32x4_t sum, uint8x16_t bytes, uint8x16_t places, int32x4_t weights) {
  return vmlaq_laneq_s32(sum, vreinterpretq_s32_u8(vqtbl1q_u8(bytes, places)), weights, kLane);
}

// Half of 2^kWeightBits, for rounding.
int32x4_t half() { return vdupq_n_s32(1 << (kWeightBits - 1)); }

uint8x8_t codes(int32x4_t a, int32x4_t b) {
  uint16x4_t low = vqmovun_s32(vshrq_n_s32(a, kWeightBits));
  return vqmovn_u16(vqmovun_high_s32(low, vshrq_n_s32(b, kWeightBits)));
}

}  // namespace

// A load holds four pixels and four bytes more: R0 G0 B0 R1 G1 B1 R2 G2 B2 R3 G3 B3 . . . .
void resize_along_rows(const uint8_t* const (&in)[kRowsAtOnce], uint8_t* const (&out)[kRowsAtOnce], const Taps& taps) {
  const uint8x16_t pixel[] = {widening(0, 3), widening(3, 3), widening(6, 3), widening(9, 3)};
  for (int i = 0; i < taps.outputs; ++i) {
    int32x4_t sums[kRowsAtOnce] = {half(), half(), half(), half()};
    ptrdiff_t at = ptrdiff_t{3} * taps.first[i], weight = static_cast<ptrdiff_t>(i) * taps.taps;
    for (int tap = 0; tap < taps.taps; tap += kTapsAtOnce, at += 3 * kTapsAtOnce) {
      int32x4_t weights = four_weights(taps.high + weight + tap, taps.low + weight + tap);
      unrolled<kRowsAtOnce>([&](auto row) BITWRIGHT_INLINE {
        uint8x16_t bytes = vld1q_u8(in[row] + at);
        unrolled<kTapsAtOnce>([&](auto k) BITWRIGHT_INLINE { sums[row] = add<k>(sums[row], bytes, pixel[k], weights); });
      });
    }
    for (int row = 0; row < kRowsAtOnce; row += 2) {
      uint8x8_t two = codes(sums[row], sums[row + 1]);
      for (int k = 0; k < 2; ++k) {
        uint32_t four = k ? vget_lane_u32(vreinterpret_u32_u8(two), 1) : vget_lane_u32(vreinterpret_u32_u8(two), 0);
        __builtin_memcpy(out[row + k] + 3 * i, &four, sizeof four);
      }
    }
  }
}

void resize_along_columns(const uint8_t* in, ptrdiff_t stride, const Taps& taps, int i, uint8_t* out, int bytes) {
  const uint8x16_t four[] = {widening(0, 4), widening(4, 4), widening(8, 4), widening(12, 4)};
  const int16_t* high = taps.high + static_cast<ptrdiff_t>(i) * taps.taps;
  const int16_t* low = taps.low + static_cast<ptrdiff_t>(i) * taps.taps;
  in += stride * taps.first[i];
  for (int begin = 0; begin < bytes; begin += 32) {
    int32x4_t sums[8];
    for (int32x4_t& sum : sums) sum = half();
    for (int tap = 0; tap < taps.taps; tap += kTapsAtOnce) {
      int32x4_t weights = four_weights(high + tap, low + tap);
      unrolled<kTapsAtOnce>([&](auto k) BITWRIGHT_INLINE {
        const uint8_t* row = in + stride * (tap + k) + begin;
        uint8x16_t halves[] = {vld1q_u8(row), vld1q_u8(row + 16)};
        unrolled<8>([&](auto v) BITWRIGHT_INLINE { sums[v] = add<k>(sums[v], halves[v / 4], four[v % 4], weights); });
      });
    }
    uint8x8_t found[4];
    for (int v = 0; v < 4; ++v) found[v] = codes(sums[2 * v], sums[2 * v + 1]);
    __builtin_memcpy(out + begin, found, static_cast<size_t>(bytes - begin < 32 ? bytes - begin : 32));
  }
}

}  // namespace bitwright
