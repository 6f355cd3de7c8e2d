// Without dot products: two products of 8 bits, at most 128 * 127 each, fit 16 bits together, and pairs are added to int32.
#include "kernels/igemm/tiles_neon.h"

namespace bitwright {
namespace {

struct Smull {
  static constexpr int kBias = 128;
  using Codes = int32x4_t;
  static Codes codes(uint8x16_t unsigned_ones) { return vreinterpretq_s32_u8(veorq_u8(unsigned_ones, vdupq_n_u8(kBias))); }
  template <int kLane>
  static int32x4_t add(int32x4_t sum, int8x16_t weights, Codes codes) {
    int8x16_t quad = vreinterpretq_s8_s32(vdupq_laneq_s32(codes, kLane));
    int16x8_t low = vmull_s8(vget_low_s8(weights), vget_low_s8(quad)), high = vmull_high_s8(weights, quad);
    return vpadalq_s16(sum, vpaddq_s16(low, high));
  }
};

}  // namespace

const Kernel<IgemmParams> gemv_neon = {gemv_units, packed_bytes<Smull>, pack<Smull>, nullptr, run_gemv<Smull>};

const Kernel<IgemmParams> igemm_neon = {units, packed_bytes<Smull>, pack<Smull>, nullptr, run<Smull>};

}  // namespace bitwright
