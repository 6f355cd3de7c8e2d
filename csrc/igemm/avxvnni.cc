// VPDPBUSD in 256 bits: a quad of codes with a quad of each of 8 channels at once; nothing saturates.
#include "gemv256.h"

namespace bitwright {
namespace {

struct Dpbusd {
  static constexpr bool kExcess = false;
  using Weights = __m256i;
  using Codes = __m256i;
  static __m256i multiply_add(__m256i acc, __m256i codes, __m256i weights) {
    return _mm256_dpbusd_avx_epi32(acc, codes, weights);
  }
};

}  // namespace

const KernelRow<IgemmParams> gemv_avxvnni = {
    "gemv, four panels", Isa::avxvnni, gemv_accepts, gemv_units, packed_quads_bytes, pack_quads, nullptr, run_gemv<Dpbusd>};

const KernelRow<IgemmParams> igemm_avxvnni = {
    "igemm, register tiles", Isa::avxvnni, nullptr, units, packed_quads_bytes, pack_quads, nullptr, run<Dpbusd>};

}  // namespace bitwright
