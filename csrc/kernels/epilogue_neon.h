// The epilogue of docs/arithmetic.md, 16 channels of a pixel at a time, on Advanced SIMD. Numbers are rounded half to even with
// saturation, narrowed with saturation, then bounded.
#pragma once

#include "kernels/kernel.h"
#include "kernels/unrolled.h"
#include "kernels/vec/neon.h"

namespace bitwright {
namespace {

class Epilogue128 {
 public:
  explicit Epilogue128(const Epilogue& e)
      : e_(e),
        table_(e.table),
        hi_(vdupq_n_u8(static_cast<uint8_t>(e.hi))),
        lo_(vdupq_n_u8(static_cast<uint8_t>(e.lo))),
        m_r_(vdupq_n_f32(e.m_r)),
        r_zp_(vdupq_n_s32(e.r_zp)) {}

  // acc[r] are channels c..c+15 of a pixel whose output begins at out[r] and residual at second[r]; stores `count` of each.
  template <int kPixels>
  BITWRIGHT_INLINE void store(const int32x4_t (&acc)[kPixels][4], int c, const uint8_t* const* second, uint8_t* const* out,
                              int count) const {
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
      float32x4_t t[4];
      unrolled<4>([&](auto v) BITWRIGHT_INLINE {
        t[v] = vcvtq_f32_s32(acc[r][v]) * vld1q_f32(e_.m + c + 4 * v) + vld1q_f32(e_.b + c + 4 * v);
      });
      if (e_.residual) add_residual(second[r] + c, t);
      if (e_.to_float)
        store_floats(t, out[r] + 4 * c, count);
      else
        store_lanes(codes(t), out[r] + c, count);
    });
  }

 private:
  BITWRIGHT_INLINE void add_residual(const uint8_t* from, float32x4_t (&t)[4]) const {
    uint8x16_t bytes = vld1q_u8(from);
    uint16x8_t words[2] = {vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes)};
    unrolled<4>([&](auto v) BITWRIGHT_INLINE {
      uint32x4_t wide = v % 2 ? vmovl_high_u16(words[v / 2]) : vmovl_u16(vget_low_u16(words[v / 2]));
      t[v] = t[v] + vcvtq_f32_s32(vreinterpretq_s32_u32(wide) - r_zp_) * m_r_;
    });
  }

  BITWRIGHT_INLINE uint8x16_t codes(const float32x4_t (&t)[4]) const {
    const uint8x16_t numbers[4] = {Vec128::rounded(t[0]), Vec128::rounded(t[1]), Vec128::rounded(t[2]), Vec128::rounded(t[3])};
    uint8x16_t bytes = vmaxq_u8(vminq_u8(Vec128::bytes_of(numbers), hi_), lo_);
    return e_.table ? table_.look_up(bytes) : bytes;
  }

  BITWRIGHT_INLINE static void store_floats(const float32x4_t (&t)[4], uint8_t* out, int count) {
    float whole[16];
    for (int v = 0; v < 4; ++v) vst1q_f32(whole + 4 * v, t[v]);
    __builtin_memcpy(out, whole, 4 * (count < 16 ? count : 16));
  }

  const Epilogue& e_;
  Table128 table_;
  uint8x16_t hi_, lo_;
  float32x4_t m_r_;
  int32x4_t r_zp_;
};

}  // namespace
}  // namespace bitwright
