// SUDOT: a quad of codes, unsigned as they are, with a quad of each of 4 channels at once.
#include "kernels/igemm/tiles_neon.h"

namespace bitwright {
namespace {

struct Sudot {
  static constexpr int kBias = 0;
  using Codes = uint8x16_t;
  static Codes codes(uint8x16_t given) { return given; }
  template <int kLane>
  static int32x4_t add(int32x4_t sum, int8x16_t weights, Codes codes) {
    return vsudotq_laneq_s32(sum, weights, codes, kLane);
  }
};

}  // namespace

const Kernel<IgemmParams> gemv_i8mm = {gemv_units, packed_bytes<Sudot>, pack<Sudot>, nullptr, run_gemv<Sudot>};

const Kernel<IgemmParams> igemm_i8mm = {units, packed_bytes<Sudot>, pack<Sudot>, nullptr, run<Sudot>};

}  // namespace bitwright
