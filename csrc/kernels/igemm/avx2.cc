// VPMADDWD multiplies pairs of 16-bit numbers and adds two products in 32 bits. Weights are kept as 16 bits, and the codes of a
// block of pixels are widened once for kPanels panels of weights. One pixel alone is bound by the memory that weights come
// from, so there both are widened as they are read, even and odd ones apart.
//
// VPMADDUBSW takes codes and weights as they are, but saturates where two products leave 16 bits. Layers in which none can,
// those of 7 bits among them (255 * 63 twice), run by it: two pairs are added in 16 bits where their weights allow that, too.
#include "kernels/igemm/gemv256.h"
#include "kernels/igemm/winograd256.h"

namespace bitwright {
namespace {

struct Widened {
  struct Weights {
    explicit Weights(__m256i w) : even(_mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8)), odd(_mm256_srai_epi16(w, 8)) {}
    __m256i even, odd;
  };
  struct Codes {
    explicit Codes(__m256i x) : even(_mm256_and_si256(x, _mm256_set1_epi16(0xff))), odd(_mm256_srli_epi16(x, 8)) {}
    __m256i even, odd;
  };
  static __m256i multiply_add(__m256i acc, const Codes& x, const Weights& w) {
    __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(x.even, w.even), _mm256_madd_epi16(x.odd, w.odd));
    return _mm256_add_epi32(acc, sum);
  }
};

struct Pairs {
  static constexpr int kQuadBytes = 8 * kPanel;

  template <bool kHalf, int kPixels>
  BITWRIGHT_INLINE static void add_quad(__m256i (&acc)[kPixels][2], const uint8_t* const (&x)[kPixels], ptrdiff_t quad,
                                        const int8_t* w) {
    unrolled<2>([&](auto pair) BITWRIGHT_INLINE {
      __m256i low = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + 64 * pair));
      __m256i high = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + 64 * pair + 32));
      unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
        int codes;
        __builtin_memcpy(&codes, x[r] + 8 * quad + 4 * pair, 4);
        __m256i both = _mm256_set1_epi32(codes);
        multiply_add(acc[r][0], both, low);
        if constexpr (!kHalf) multiply_add(acc[r][1], both, high);
      });
    });
  }

  // Written in assembly: from intrinsics gcc adds products first, and has no registers left for the accumulators.
  BITWRIGHT_INLINE static void multiply_add(__m256i& acc, __m256i codes, __m256i weights) {
    __m256i products;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(acc), "=&x"(products) : "x"(codes), "x"(weights));
  }
};

// Winograd's way to take half the products (A new algorithm for inner product, 1968): for two codes and two weights
//
//   x0 w0 + x1 w1 = (x0 + w1) (x1 + w0) - x0 x1 - w0 w1
//
// Of what is subtracted, the one is the same for all channels of a pixel, the other for all pixels of a channel. It saves
// VPMADDWD every second time; that there are more additions costs nothing, as more units add than multiply. Sums wrap around
// in 32 bits and come back. A quad of codes is x0, x2, x1, x3 here, and that of weights w1, w3 of all channels, w0, w2 of all.
struct Crossed {
  static constexpr bool kWidens = true, kInTwos = false, kCountsTooMuch = true;
  static constexpr int kPixels = 4;
  static constexpr int kPanels = 8;
  static constexpr int kQuadBytes = 8 * kPanel;

  static __m256i widened(__m128i codes) {
    return _mm256_cvtepu8_epi16(_mm_shuffle_epi8(codes, _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15)));
  }

  // x0 x1 + x2 x3 of all quads.
  struct TooMuch {
    void add(__m256i codes, ptrdiff_t quads) {
      alignas(64) static constexpr int64_t kFirst[8] = {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};
      __m256i firsts = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kFirst + (quads < 4 ? 4 - quads : 0)));
      __m256i seconds = _mm256_srli_epi64(codes, 32);
      sums = _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_and_si256(codes, firsts), seconds));
    }
    int sum() const {
      __m128i two = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
      return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_unpackhi_epi64(two, two)));
    }
    __m256i sums = _mm256_setzero_si256();
  };

  template <bool kHalf, int kPixels>
  BITWRIGHT_INLINE static void add_quad(__m256i (&acc)[kPixels][2], const uint8_t* const (&x)[kPixels], ptrdiff_t quad,
                                        const int8_t* w) {
    __m256i weights[2][2];
    unrolled<2>([&](auto pair) BITWRIGHT_INLINE {
      unrolled<2>([&](auto half) BITWRIGHT_INLINE {
        weights[pair][half] = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + 64 * pair + 32 * half));
      });
    });
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
      __m256i first = two(x[r] + 8 * quad), second = two(x[r] + 8 * quad + 4);
      multiply_add(acc[r][0], first, second, weights[0][0], weights[1][0]);
      if constexpr (!kHalf) multiply_add(acc[r][1], first, second, weights[0][1], weights[1][1]);
    });
  }

  static __m256i two(const uint8_t* codes) {
    int found;
    __builtin_memcpy(&found, codes, 4);
    return _mm256_set1_epi32(found);
  }

  // In assembly for the reason above.
  BITWRIGHT_INLINE static void multiply_add(__m256i& acc, __m256i x, __m256i y, __m256i v, __m256i w) {
    __m256i a, b;
    __asm__("vpaddw %5, %3, %1\n\tvpaddw %6, %4, %2\n\tvpmaddwd %2, %1, %1\n\tvpaddd %1, %0, %0"
            : "+x"(acc), "=&x"(a), "=&x"(b)
            : "x"(x), "x"(y), "x"(v), "x"(w));
  }
};

struct Bytes {
  struct InTwos;
  static constexpr bool kWidens = false, kInTwos = false, kCountsTooMuch = false;
  static constexpr int kPixels = 4;
  static constexpr int kPanels = 1;
  static constexpr int kQuadBytes = 4 * kPanel;

  template <bool kHalf, int kPixels>
  BITWRIGHT_INLINE static void add_quad(__m256i (&acc)[kPixels][2], const uint8_t* const (&x)[kPixels], ptrdiff_t quad,
                                        const int8_t* w) {
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
      __m256i codes = four(x[r] + 4 * quad);
      unrolled<kHalf ? 1 : 2>([&](auto half) BITWRIGHT_INLINE {
        __m256i pairs = _mm256_maddubs_epi16(codes, _mm256_load_si256(reinterpret_cast<const __m256i*>(w + 32 * half)));
        acc[r][half] = _mm256_add_epi32(acc[r][half], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
      });
    });
  }

  static __m256i four(const uint8_t* codes) {
    int found;
    __builtin_memcpy(&found, codes, 4);
    return _mm256_set1_epi32(found);
  }
};

struct Bytes::InTwos : Bytes {
  static constexpr bool kInTwos = true;

  template <bool kHalf, int kPixels>
  BITWRIGHT_INLINE static void add_two_quads(__m256i (&acc)[kPixels][2], const uint8_t* const (&x)[kPixels], ptrdiff_t quad,
                                             const int8_t* w) {
    __m256i weights[2][2];
    unrolled<2>([&](auto q) BITWRIGHT_INLINE {
      unrolled<2>([&](auto half) BITWRIGHT_INLINE {
        weights[q][half] = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + q * kQuadBytes + 32 * half));
      });
    });
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
      __m256i first = four(x[r] + 4 * quad), second = four(x[r] + 4 * quad + 4);
      add(acc[r][0], first, second, weights[0][0], weights[1][0]);
      if constexpr (!kHalf) add(acc[r][1], first, second, weights[0][1], weights[1][1]);
    });
  }

  // In assembly for the reason above.
  BITWRIGHT_INLINE static void add(__m256i& acc, __m256i x, __m256i y, __m256i v, __m256i w) {
    __m256i pairs, others;
    __asm__("vpmaddubsw %5, %3, %1\n\tvpmaddubsw %6, %4, %2\n\tvpaddw %2, %1, %1\n\tvpmaddwd %7, %1, %1\n\tvpaddd %1, %0, %0"
            : "+x"(acc), "=&x"(pairs), "=&x"(others)
            : "x"(x), "x"(y), "x"(v), "x"(w), "xm"(_mm256_set1_epi16(1)));
  }
};

}  // namespace

const Kernel<IgemmParams> gemv_avx2 = {gemv_units, packed_quads_bytes, pack_quads, nullptr, run_gemv<Widened>};

const Kernel<IgemmParams> winograd_avx2 = {winograd_units, winograd_packed_bytes, pack_winograd, winograd_scratch_bytes,
                                           run_winograd<Pairs>};

const Kernel<IgemmParams> igemm_avx2_bytes = {units<Bytes>, packed_twos_bytes, pack_twos, nullptr, run<Bytes>};

const Kernel<IgemmParams> igemm_avx2 = {units<Crossed>, packed_crossed_bytes, pack_crossed, scratch_bytes<Crossed>,
                                        run<Crossed>};

}  // namespace bitwright
