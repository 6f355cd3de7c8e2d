// VPDPBUSD in 256 bits: a quad of codes with a quad of each of 8 channels at once; nothing saturates.
#include "kernels/igemm/gemv256.h"

namespace bitwright {
namespace {

struct Dpbusd {
  static constexpr bool kWidens = false, kInTwos = false, kCountsTooMuch = false;
  static constexpr int kPixels = kMostPixels;
  static constexpr int kPanels = 1;
  static constexpr int kQuadBytes = 4 * kPanel;
  using Weights = __m256i;
  using Codes = __m256i;
  static __m256i multiply_add(__m256i acc, __m256i codes, __m256i weights) {
    return _mm256_dpbusd_avx_epi32(acc, codes, weights);
  }

  // Written in assembly, because gcc 12 spills and reloads each accumulator around the intrinsic.
  BITWRIGHT_INLINE static void multiply_add_in_place(__m256i& acc, __m256i codes, __m256i weights) {
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(codes), "x"(weights));
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
      multiply_add_in_place(acc[r][0], four, low);
      if constexpr (!kHalf) multiply_add_in_place(acc[r][1], four, high);
    });
  }
};

}  // namespace

const Kernel<IgemmParams> gemv_avxvnni = {gemv_units, packed_quads_bytes, pack_quads, nullptr, run_gemv<Dpbusd>};

const Kernel<IgemmParams> igemm_avxvnni = {units<Dpbusd>, packed_quads_bytes, pack_quads, nullptr, run<Dpbusd>};

}  // namespace bitwright
