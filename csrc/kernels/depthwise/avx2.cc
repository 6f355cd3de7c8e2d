// Taps in pairs: the codes of two pixels are interleaved and widened to 16 bits, so that VPMADDWD multiplies and adds two
// taps of 8 channels, exactly. An odd tap at the end is paired with itself and a weight of zero.
#include <immintrin.h>

#include "kernels/depthwise/taps.h"
#include "kernels/epilogue_avx2.h"

namespace bitwright {
namespace {

using Taps = TapSets<int16_t, 2>;

class Runner {
 public:
  Runner(const DepthwiseParams& p, const Buffers& at) : p_(p), at_(at), epilogue_(p.epilogue) { Taps::offsets(p, offset_); }

  void row(int y, int c) const {
    const uint8_t* in = window_of(p_, at_, y, c);
    const int16_t* weights = Taps::weights(p_, c);
    const uint8_t* second = at_.second + y * p_.second.row;
    uint8_t* out = at_.out + y * p_.out.row;
    for (int x = 0; x < p_.out.w; x += kOuts) {
      const uint8_t *windows[kOuts], *seconds[kOuts];
      uint8_t* outs[kOuts];
      for (int i = 0; i < kOuts; ++i) {
        int place = x + i < p_.out.w ? x + i : p_.out.w - 1;
        windows[i] = in + place * p_.window.stride_w * p_.in.pixel;
        seconds[i] = second + place * p_.second.pixel, outs[i] = out + place * p_.out.pixel;
      }
      __m256i acc[kOuts][2];
      sums(windows, weights, c, acc);
      epilogue_.store(acc, c, seconds, outs, p_.out.lanes - c);
    }
  }

 private:
  static constexpr int kOuts = 4;  // outputs that share weights, and the epilogue's numbers

  BITWRIGHT_INLINE void sums(const uint8_t* const (&windows)[kOuts], const int16_t* w, int c, __m256i (&acc)[kOuts][2]) const {
    unrolled<2>([&](auto v) BITWRIGHT_INLINE {
      __m256i start = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p_.start + c + 8 * v));
      unrolled<kOuts>([&](auto i) BITWRIGHT_INLINE { acc[i][v] = start; });
    });
    for (int pair = 0; pair < Taps::count(p_); ++pair, w += Taps::kCodes) {
      ptrdiff_t first = offset_[2 * pair], second = offset_[2 * pair + 1];
      __m256i low = _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
      __m256i high = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + kChannels));
      unrolled<kOuts>([&](auto i) BITWRIGHT_INLINE {
        __m128i a = load(windows[i] + first), b = load(windows[i] + second);
        acc[i][0] = _mm256_add_epi32(acc[i][0], _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)), low));
        acc[i][1] = _mm256_add_epi32(acc[i][1], _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b)), high));
      });
    }
  }

  static __m128i load(const uint8_t* codes) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)); }

  const DepthwiseParams& p_;
  const Buffers& at_;
  Epilogue256 epilogue_;
  ptrdiff_t offset_[Taps::kMostOffsets];
};

}  // namespace

const Kernel<DepthwiseParams> depthwise_avx2 = {units, Taps::packed_bytes, Taps::pack, nullptr, run_rows<Runner>};

}  // namespace bitwright
