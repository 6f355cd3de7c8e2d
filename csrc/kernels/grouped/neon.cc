// Without dot products: pairs of codes times pairs of weights, which are kept as w + 128, to 16 bits, and added in pairs to 32.
#include "kernels/grouped/vectors.h"

namespace bitwright {
namespace {

struct Pairs {
  static constexpr int kTaps = 2, kZero = 128;
  using Weights = uint8x8_t;

  static Weights load(const int8_t* w) { return vld1_u8(reinterpret_cast<const uint8_t*>(w)); }
  static Weights low(Weights bytes) { return vand_u8(bytes, vdup_n_u8(15)); }
  static Weights high(Weights bytes) { return vshr_n_u8(bytes, 4); }
  static Vec::Ints codes(const uint8_t* x, int i, int /*depth*/) {
    uint16_t two;
    __builtin_memcpy(&two, x + i, sizeof two);
    return vreinterpretq_u8_u16(vdupq_n_u16(two));
  }
  static Vec::Ints multiply_add(Vec::Ints acc, Vec::Ints codes, Weights weights) {
    return vreinterpretq_u8_u32(vpadalq_u16(vreinterpretq_u32_u8(acc), vmull_u8(vget_low_u8(codes), weights)));
  }
};

}  // namespace

const Kernel<GroupedParams> grouped_neon = GroupedVectors<Pairs, 4, false>::kernel();
const Kernel<GroupedParams> grouped4_neon = GroupedVectors<Pairs, 4, true>::kernel();

}  // namespace bitwright
