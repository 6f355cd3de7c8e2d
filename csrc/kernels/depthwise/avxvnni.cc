// Taps in quads: the codes of four pixels are interleaved so that each int32 lane holds four taps of one channel, and
// VPDPBUSD adds all four. 16 channels in the lower half of a register belong to one output, those in the upper half to
// the next. Missing taps of the last quad repeat the last one, with weights of zero.
#include <immintrin.h>

#include "kernels/depthwise/taps.h"
#include "kernels/epilogue_avx2.h"

namespace bitwright {
namespace {

using Taps = TapSets<int8_t, 4>;

__m128i load(const void* bytes) { return _mm_loadu_si128(static_cast<const __m128i*>(bytes)); }

class Runner {
 public:
  Runner(const DepthwiseParams& p, const Buffers& at) : p_(p), at_(at), epilogue_(p.epilogue) { Taps::offsets(p, offset_); }

  void row(int y, int c) const {
    const uint8_t* in = window_of(p_, at_, y, c);
    ptrdiff_t stride = p_.window.stride_w * p_.in.pixel;
    for (int x = 0; x < p_.out.w; x += 2) {
      int next = x + 1 < p_.out.w ? x + 1 : x;
      __m256i acc[4];
      sums(in + x * stride, in + next * stride, c, acc);
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
    const int8_t* w = Taps::weights(p_, c);
    for (int quad = 0; quad < Taps::count(p_); ++quad, w += Taps::kCodes) {
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
  ptrdiff_t offset_[Taps::kMostOffsets];
};

}  // namespace

const Kernel<DepthwiseParams> depthwise_avxvnni = {units, Taps::packed_bytes, Taps::pack, nullptr, run_rows<Runner>};

}  // namespace bitwright
