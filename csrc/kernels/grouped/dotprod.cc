// UDOT: a quad of four codes with a quad of each of 4 channels at once. It takes no signs, so weights are kept as w + 128.
#include "kernels/grouped/vectors.h"

namespace bitwright {
namespace {

struct Quads {
  static constexpr int kTaps = 4, kZero = 128;
  using Weights = uint8x16_t;

  static Weights load(const int8_t* w) { return vld1q_u8(reinterpret_cast<const uint8_t*>(w)); }
  static Weights low(Weights bytes) { return vandq_u8(bytes, vdupq_n_u8(15)); }
  static Weights high(Weights bytes) { return vshrq_n_u8(bytes, 4); }
  static Vec::Ints codes(const uint8_t* x, int i, int /*depth*/) {
    uint32_t four;
    __builtin_memcpy(&four, x + i, sizeof four);
    return vreinterpretq_u8_u32(vdupq_n_u32(four));
  }
  static Vec::Ints multiply_add(Vec::Ints acc, Vec::Ints codes, Weights weights) {
    return vreinterpretq_u8_u32(vdotq_u32(vreinterpretq_u32_u8(acc), weights, codes));
  }
};

}  // namespace

const Kernel<GroupedParams> grouped_dotprod = GroupedVectors<Quads, 4, false>::kernel();
const Kernel<GroupedParams> grouped4_dotprod = GroupedVectors<Quads, 4, true>::kernel();

}  // namespace bitwright
