// VPDPBUSD in 256 bits: a quad of codes with a quad of each of 8 channels at once; nothing saturates.
#include "gemv256.h"

namespace bitwright {
namespace {

struct Dpbusd {
  static constexpr bool kWidens = false;
  static constexpr int kPanels = 1;
  static constexpr int kQuadBytes = 4 * kPanel;
  using Weights = __m256i;
  using Codes = __m256i;
  static __m256i multiply_add(__m256i acc, __m256i codes, __m256i weights) {
    return _mm256_dpbusd_avx_epi32(acc, codes, weights);
  }

  template <bool kHalf, int kPixels>
  BITWRIGHT_INLINE static void add_quad(__m256i (&acc)[kPixels][2], const uint8_t* const (&x)[kPixels], ptrdiff_t quad,
                                        const int8_t* w) {
    __m256i low = _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
    __m256i high = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + 32));
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
      int codes;
      __builtin_memcpy(&codes, x[r] + 4 * quad, 4);
      __m256i four = _mm256_set1_epi32(codes);
      // As the intrinsic gcc 12 copies each sum to and fro.
      __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc[r][0]) : "x"(four), "x"(low));
      if constexpr (!kHalf) __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc[r][1]) : "x"(four), "x"(high));
    });
  }
};

}  // namespace

const KernelRow<IgemmParams> gemv_avxvnni = {
    "gemv, four panels", Isa::avxvnni, gemv_accepts, gemv_units, packed_quads_bytes, pack_quads, nullptr, run_gemv<Dpbusd>};

const KernelRow<IgemmParams> igemm_avxvnni = {
    "igemm, register tiles", Isa::avxvnni, nullptr, units<Dpbusd>, packed_quads_bytes, pack_quads, nullptr, run<Dpbusd>};

}  // namespace bitwright
