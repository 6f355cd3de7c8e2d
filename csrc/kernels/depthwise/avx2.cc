// Taps in pairs: the codes of two pixels are interleaved and widened to 16 bits, so that VPMADDWD multiplies and adds two
// taps of 8 channels, exactly. An odd tap at the end is paired with itself and a weight of zero.
#include <immintrin.h>

#include "kernels/depthwise/depthwise.h"
#include "kernels/epilogue_avx2.h"

namespace bitwright {
namespace {

constexpr int kChannels = 16;
constexpr int kPairCodes = 2 * kChannels;

int taps(const DepthwiseParams& p) { return p.window.kh * p.window.kw; }

int pairs(const DepthwiseParams& p) { return (taps(p) + 1) / 2; }

int channel_blocks(const DepthwiseParams& p) { return (p.out.c + kChannels - 1) / kChannels; }

DepthwiseGrid grid_of(const DepthwiseParams& p) { return {p, p.out.h}; }

int units(const DepthwiseParams& p) { return grid_of(p).units(); }

size_t packed_bytes(const DepthwiseParams& p) {
  return static_cast<size_t>(channel_blocks(p)) * pairs(p) * kPairCodes * sizeof(int16_t);
}

// [block of channels][pair of taps][channel][2]
void pack(const DepthwiseParams& p, const int8_t* weights, void* packed) {
  auto* to = static_cast<int16_t*>(packed);
  for (int block = 0; block < channel_blocks(p); ++block)
    for (int pair = 0; pair < pairs(p); ++pair)
      for (int i = 0; i < kPairCodes; ++i) {
        int channel = block * kChannels + i / 2, tap = 2 * pair + i % 2;
        bool inside = channel < p.out.c && tap < taps(p);
        *to++ = inside ? weights[channel * taps(p) + tap] : int16_t{0};
      }
}

class Runner {
 public:
  Runner(const DepthwiseParams& p, const Buffers& at) : p_(p), at_(at), epilogue_(p.epilogue) {
    for (int tap = 0; tap < 2 * pairs(p); ++tap) {
      int last = tap < taps(p) ? tap : tap - 1;
      offset_[tap] =
          last / p.window.kw * p.window.dilation_h * p.in.row + last % p.window.kw * p.window.dilation_w * p.in.pixel;
    }
  }

  void row(int y, int c) const {
    const uint8_t* in =
        at_.in + (y * p_.window.stride_h - p_.window.pad_top) * p_.in.row - p_.window.pad_left * p_.in.pixel + c;
    const auto* weights = static_cast<const int16_t*>(p_.weights) + static_cast<ptrdiff_t>(c) * 2 * pairs(p_);
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
  static constexpr int kOuts = 4;  // that share weights, and the epilogue's numbers

  BITWRIGHT_INLINE void sums(const uint8_t* const (&windows)[kOuts], const int16_t* w, int c, __m256i (&acc)[kOuts][2]) const {
    unrolled<2>([&](auto v) BITWRIGHT_INLINE {
      __m256i start = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p_.start + c + 8 * v));
      unrolled<kOuts>([&](auto i) BITWRIGHT_INLINE { acc[i][v] = start; });
    });
    for (int pair = 0; pair < pairs(p_); ++pair, w += kPairCodes) {
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
  ptrdiff_t offset_[kMostDepthwiseTaps + 1];
};

void run(const DepthwiseParams& p, const Buffers& at, int begin, int end) {
  Runner runner(p, at);
  grid_of(p).each(begin, end, [&](int block, int first, int last) {
    int stop = block + DepthwiseGrid::kBlockChannels;
    for (int c = block; c < stop && c < p.out.c; c += kChannels)
      for (int y = first; y < last; ++y) runner.row(y, c);
  });
}

}  // namespace

const Kernel<DepthwiseParams> depthwise_avx2 = {units, packed_bytes, pack, nullptr, run};

}  // namespace bitwright
