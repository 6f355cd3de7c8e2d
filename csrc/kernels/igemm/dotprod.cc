// SDOT: a quad of signed codes, those of the map less 128, with a quad of each of 4 channels at once.
#include "kernels/igemm/tiles_neon.h"

namespace bitwright {
namespace {

struct Sdot {
  static constexpr int kBias = 128;
  using Codes = int8x16_t;
  static Codes codes(uint8x16_t unsigned_ones) { return vreinterpretq_s8_u8(veorq_u8(unsigned_ones, vdupq_n_u8(kBias))); }
  template <int kLane>
  static int32x4_t add(int32x4_t sum, int8x16_t weights, Codes codes) {
    return vdotq_laneq_s32(sum, weights, codes, kLane);
  }
};

}  // namespace

const Kernel<IgemmParams> gemv_dotprod = {gemv_units, packed_bytes<Sdot>, pack<Sdot>, nullptr, run_gemv<Sdot>};

const Kernel<IgemmParams> igemm_dotprod = {units, packed_bytes<Sdot>, pack<Sdot>, nullptr, run<Sdot>};

}  // namespace bitwright
