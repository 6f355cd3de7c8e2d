// Taps in quads: the codes of four pixels are interleaved so that each int32 lane holds four taps of one channel, and
// VPDPBUSD adds all four. 16 channels in the lower half of a register belong to one output, those in the upper half to
// the next. Missing taps of the last quad repeat the last one, with weights of zero.
#include <immintrin.h>

#include "kernels/depthwise/depthwise.h"
#include "kernels/epilogue_avx2.h"

namespace bitwright {
namespace {

constexpr int kChannels = 16;
constexpr int kQuadCodes = 4 * kChannels;

int taps(const DepthwiseParams& p) { return p.window.kh * p.window.kw; }

int quads(const DepthwiseParams& p) { return (taps(p) + 3) / 4; }

int channel_blocks(const DepthwiseParams& p) { return (p.out.c + kChannels - 1) / kChannels; }

DepthwiseGrid grid_of(const DepthwiseParams& p) { return {p, p.out.h}; }

int units(const DepthwiseParams& p) { return grid_of(p).units(); }

size_t packed_bytes(const DepthwiseParams& p) { return static_cast<size_t>(channel_blocks(p)) * quads(p) * kQuadCodes; }

// [block of channels][quad of taps][channel][4]
void pack(const DepthwiseParams& p, const int8_t* weights, void* packed) {
  auto* to = static_cast<int8_t*>(packed);
  for (int block = 0; block < channel_blocks(p); ++block)
    for (int quad = 0; quad < quads(p); ++quad)
      for (int i = 0; i < kQuadCodes; ++i) {
        int channel = block * kChannels + i / 4, tap = 4 * quad + i % 4;
        bool inside = channel < p.out.c && tap < taps(p);
        *to++ = inside ? weights[channel * taps(p) + tap] : int8_t{0};
      }
}

__m128i load(const void* bytes) { return _mm_loadu_si128(static_cast<const __m128i*>(bytes)); }

class Runner {
 public:
  Runner(const DepthwiseParams& p, const Buffers& at) : p_(p), at_(at), epilogue_(p.epilogue) {
    for (int tap = 0; tap < 4 * quads(p); ++tap) {
      int there = tap < taps(p) ? tap : taps(p) - 1;
      offset_[tap] =
          there / p.window.kw * p.window.dilation_h * p.in.row + there % p.window.kw * p.window.dilation_w * p.in.pixel;
    }
  }

  void row(int y, int c) const {
    const uint8_t* in =
        at_.in + (y * p_.window.stride_h - p_.window.pad_top) * p_.in.row - p_.window.pad_left * p_.in.pixel + c;
    ptrdiff_t step = p_.window.stride_w * p_.in.pixel;
    for (int x = 0; x < p_.out.w; x += 2) {
      int next = x + 1 < p_.out.w ? x + 1 : x;
      __m256i acc[4];
      sums(in + x * step, in + next * step, c, acc);
      const uint8_t *row = at_.second + y * p_.second.row,
                    *second[2] = {row + x * p_.second.pixel, row + next * p_.second.pixel};
      uint8_t *to = at_.out + y * p_.out.row, *out[2] = {to + x * p_.out.pixel, to + next * p_.out.pixel};
      epilogue_.store<2>({{_mm256_permute2x128_si256(acc[0], acc[1], 0x20), _mm256_permute2x128_si256(acc[2], acc[3], 0x20)},
                          {_mm256_permute2x128_si256(acc[0], acc[1], 0x31), _mm256_permute2x128_si256(acc[2], acc[3], 0x31)}},
                         c, second, out, p_.out.lanes - c);
    }
  }

 private:
  // acc[v] is channels c + 4 * v.. of both outputs, whose windows begin at `first` and `second`.
  void sums(const uint8_t* first, const uint8_t* second, int c, __m256i (&acc)[4]) const {
    for (int v = 0; v < 4; ++v) acc[v] = _mm256_broadcastsi128_si256(load(p_.start + c + 4 * v));
    const auto* w = static_cast<const int8_t*>(p_.weights) + static_cast<ptrdiff_t>(c) * 4 * quads(p_);
    for (int quad = 0; quad < quads(p_); ++quad, w += kQuadCodes) {
      __m256i x[4];
      for (int i = 0; i < 4; ++i) {
        ptrdiff_t tap = offset_[4 * quad + i];
        x[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(load(first + tap)), load(second + tap), 1);
      }
      __m256i low01 = _mm256_unpacklo_epi8(x[0], x[1]), high01 = _mm256_unpackhi_epi8(x[0], x[1]);
      __m256i low23 = _mm256_unpacklo_epi8(x[2], x[3]), high23 = _mm256_unpackhi_epi8(x[2], x[3]);
      acc[0] = multiply_add(acc[0], _mm256_unpacklo_epi16(low01, low23), w);
      acc[1] = multiply_add(acc[1], _mm256_unpackhi_epi16(low01, low23), w + 16);
      acc[2] = multiply_add(acc[2], _mm256_unpacklo_epi16(high01, high23), w + 32);
      acc[3] = multiply_add(acc[3], _mm256_unpackhi_epi16(high01, high23), w + 48);
    }
  }

  static __m256i multiply_add(__m256i acc, __m256i codes, const int8_t* weights) {
    return _mm256_dpbusd_avx_epi32(acc, codes, _mm256_broadcastsi128_si256(load(weights)));
  }

  const DepthwiseParams& p_;
  const Buffers& at_;
  Epilogue256 epilogue_;
  ptrdiff_t offset_[kMostDepthwiseTaps];
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

const Kernel<DepthwiseParams> depthwise_avxvnni = {units, packed_bytes, pack, nullptr, run};

}  // namespace bitwright
