// Vectors of Advanced SIMD, which every aarch64 has: 16 bytes. Numbers of all widths share one type, as on x86.
#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "kernels/target.h"
#include "kernels/unrolled.h"

namespace bitwright {
inline namespace BITWRIGHT_TARGET {

// A table of 256 codes, as four that TBL and TBX look up in; those give 0, or leave what there was, beyond their 64.
class Table128 {
 public:
  // Null is a table that must not be looked up in. All codes may occur, so the highest does not matter.
  Table128(const uint8_t* table = nullptr, int /*highest*/ = 255) {
    if (table) __builtin_memcpy(codes_, table, sizeof(codes_));
  }

  BITWRIGHT_INLINE uint8x16_t look_up(uint8x16_t codes) const {
    uint8x16_t found = vqtbl4q_u8(vld1q_u8_x4(codes_), codes);
    unrolled<3>([&](auto i) BITWRIGHT_INLINE {
      codes = vsubq_u8(codes, vdupq_n_u8(64));
      found = vqtbx4q_u8(found, vld1q_u8_x4(codes_ + 64 * (i + 1)), codes);
    });
    return found;
  }
  BITWRIGHT_INLINE uint8x16_t look_up_any(uint8x16_t codes) const { return look_up(codes); }

 private:
  alignas(64) uint8_t codes_[256] = {};
};

// The first `count` of 16 bytes, all of them if it is more.
BITWRIGHT_INLINE inline void store_lanes(uint8x16_t bytes, uint8_t* out, int count) {
  if (count >= 16) return vst1q_u8(out, bytes);
  uint8_t whole[16];
  vst1q_u8(whole, bytes);
  __builtin_memcpy(out, whole, count > 0 ? count : 0);
}

struct Vec128 {
  using Bytes = uint8x16_t;
  using Ints = uint8x16_t;
  using Floats = float32x4_t;
  using Mask = uint16_t;
  using Table = Table128;
  static constexpr int kBytes = 16, kLanes = 4;

  // Bytes
  static Bytes load(const void* from) { return vld1q_u8(static_cast<const uint8_t*>(from)); }
  // kParts parts of a vector from different places.
  template <int kParts>
  static Bytes load_parts(const uint8_t* const (&from)[kParts]) {
    static_assert(kParts == 1 || kParts == 2);
    if constexpr (kParts == 1)
      return load(from[0]);
    else
      return vcombine_u8(vld1_u8(from[0]), vld1_u8(from[1]));
  }
  static Bytes splat(float code) { return vdupq_n_u8(static_cast<uint8_t>(code)); }
  static Bytes min(Bytes a, Bytes b) { return vminq_u8(a, b); }
  static Bytes max(Bytes a, Bytes b) { return vmaxq_u8(a, b); }
  static Bytes shuffled(Bytes codes, Bytes numbers) { return vqtbl1q_u8(codes, numbers); }
  // The lower half, or the upper one, of `a` and of `b` by turns.
  static Bytes mixed_low(Bytes a, Bytes b) { return vzip1q_u8(a, b); }
  static Bytes mixed_high(Bytes a, Bytes b) { return vzip2q_u8(a, b); }
  static void store(Bytes codes, uint8_t* out, int count) { store_lanes(codes, out, count); }

  // The parts of a vector, 16 / kParts codes each, to different places; `count` of each.
  template <int kParts>
  static void store_parts(Bytes codes, uint8_t* const (&out)[kParts], int count) {
    static_assert(kParts == 1 || kParts == 2);
    if constexpr (kParts == 1) return store(codes, out[0], count);
    if (count >= 8) return vst1_u8(out[0], vget_low_u8(codes)), vst1_u8(out[kParts - 1], vget_high_u8(codes));
    store_lanes(codes, out[0], count);
    store_lanes(vextq_u8(codes, codes, 8), out[kParts - 1], count);
  }

  // A bit for each byte
  static Mask first(int count) { return static_cast<Mask>(count >= kBytes ? 0xffff : (1 << count) - 1); }
  static Mask at_least(Bytes a, Bytes b) { return bits_of(vcgeq_u8(a, b)); }
  static Mask bits(Bytes codes, int plane) { return bits_of(vtstq_u8(codes, vdupq_n_u8(static_cast<uint8_t>(1 << plane)))); }

  // Int32, and 16-bit numbers in pairs
  static Ints zero() { return vdupq_n_u8(0); }
  static Ints splat_int(int number) { return of(vdupq_n_s32(number)); }
  static Ints load_ints(const int32_t* from) { return of(vld1q_s32(from)); }
  static void store_ints(int32_t* to, Ints a) { vst1q_s32(to, ints(a)); }
  static Ints widened_ints(const uint8_t* codes) {
    uint32_t four;
    __builtin_memcpy(&four, codes, 4);
    return vreinterpretq_u8_u32(vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four))))));
  }
  static Ints first_ints(Ints a, int count) {  // the others 0
    static constexpr int32_t kPlaces[] = {0, 1, 2, 3};
    return vandq_u8(a, vreinterpretq_u8_u32(vcltq_s32(vld1q_s32(kPlaces), vdupq_n_s32(count))));
  }
  static Ints add(Ints a, Ints b) { return of(vaddq_s32(ints(a), ints(b))); }
  static Ints subtract(Ints a, Ints b) { return of(vsubq_s32(ints(a), ints(b))); }
  static Ints multiply(Ints a, Ints b) { return of(vmulq_s32(ints(a), ints(b))); }
  static Ints multiply_words(Ints a, Ints b) {  // and adds the two of each pair
    int16x8_t x = vreinterpretq_s16_u8(a), y = vreinterpretq_s16_u8(b);
    return of(vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
  }
  static Ints add_words(Ints a, Ints b) {
    return vreinterpretq_u8_s16(vaddq_s16(vreinterpretq_s16_u8(a), vreinterpretq_s16_u8(b)));
  }
  static Ints max_ints(Ints a, Ints b) { return of(vmaxq_s32(ints(a), ints(b))); }
  // Sums, of which those of squares are int64: the lanes of `sum` plus the squares of two lanes of `a` each.
  static Ints add_squares(Ints sum, Ints a) {
    int64x2_t low = vmlal_s32(longs(sum), vget_low_s32(ints(a)), vget_low_s32(ints(a)));
    return vreinterpretq_u8_s64(vmlal_high_s32(low, ints(a), ints(a)));
  }
  static Ints add_bytes(Ints sum, Bytes a) {  // to int64 as well
    uint32x4_t fours = vpaddlq_u16(vpaddlq_u8(a));
    return vreinterpretq_u8_u64(vpadalq_u32(vreinterpretq_u64_u8(sum), fours));
  }
  static int32_t largest_int(Ints a) { return vmaxvq_s32(ints(a)); }
  static int32_t sum_ints(Ints a) { return vaddvq_s32(ints(a)); }
  static int64_t sum_longs(Ints a) { return vaddvq_s64(longs(a)); }
  static Ints low_bytes(Ints words) { return vreinterpretq_u8_u16(vandq_u16(vreinterpretq_u16_u8(words), vdupq_n_u16(0xff))); }
  static Ints high_bytes(Ints words) { return vreinterpretq_u8_u16(vshrq_n_u16(vreinterpretq_u16_u8(words), 8)); }
  static Ints low_words(Ints a) { return vreinterpretq_u8_u32(vandq_u32(vreinterpretq_u32_u8(a), vdupq_n_u32(0xffff))); }
  static Ints high_words(Ints a) { return vreinterpretq_u8_u32(vshrq_n_u32(vreinterpretq_u32_u8(a), 16)); }
  static Ints shifted_in(Ints bytes, Ints code) { return vorrq_u8(of(vshlq_n_s32(ints(bytes), 8)), code); }

  // Float32
  static Floats splat_float(float number) { return vdupq_n_f32(number); }
  static Floats load_floats(const float* from) { return vld1q_f32(from); }
  static void store_floats(float* to, Floats t) { vst1q_f32(to, t); }
  static Floats min_floats(Floats a, Floats b) { return vminq_f32(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }  // rounds once
  static Floats floats(Ints a) { return vcvtq_f32_s32(ints(a)); }
  static Ints rounded(Floats t) { return of(vcvtnq_s32_f32(t)); }  // half to even
  static Floats widened(const uint8_t* codes) { return floats(widened_ints(codes)); }
  // Four vectors, one after the other, saturated to 0..255.
  static Bytes bytes_of(const Ints (&a)[4]) {
    int16x8_t low = vqmovn_high_s32(vqmovn_s32(ints(a[0])), ints(a[1]));
    int16x8_t high = vqmovn_high_s32(vqmovn_s32(ints(a[2])), ints(a[3]));
    return vqmovun_high_s16(vqmovun_s16(low), high);
  }

 private:
  static int32x4_t ints(Ints a) { return vreinterpretq_s32_u8(a); }
  static int64x2_t longs(Ints a) { return vreinterpretq_s64_u8(a); }
  static Ints of(int32x4_t a) { return vreinterpretq_u8_s32(a); }
  // A bit of each byte, which is all ones or 0.
  static Mask bits_of(uint8x16_t bytes) {
    static constexpr uint8_t kPlaces[] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t one = vandq_u8(bytes, vld1q_u8(kPlaces));
    return static_cast<Mask>(vaddv_u8(vget_low_u8(one)) | vaddv_u8(vget_high_u8(one)) << 8);
  }
};

}  // namespace BITWRIGHT_TARGET
}  // namespace bitwright
