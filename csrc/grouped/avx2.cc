// Eight channels at once; pairs of codes and weights are widened to 16 bits, because VPMADDUBSW would saturate.
#include <immintrin.h>

#include "panels.h"

namespace bitwright {
namespace {

constexpr int kLanes = 8, kTaps = 2;

// Codes i and i + 1 of a group of `depth`, as 16 bits each, in every lane; 0 beyond the group.
__m256i pair(const uint8_t* x, int i, int depth) {
  int first = i < depth ? x[i] : 0, second = i + 1 < depth ? x[i + 1] : 0;
  return _mm256_set1_epi32(first | second << 16);
}

template <bool kNibbles>
void run(const GroupedParams& p, const Buffers& at, int begin, int end) {
  using Layout = Panels<kLanes, kTaps, kNibbles>;
  const __m128i low = _mm_set1_epi8(15);
  int depth = depth_of(p), outs = padded_outs(p), rows = Layout::rows(p);
  Layout::run(p, at, begin, end, [&](const uint8_t* x, const int8_t* w, int panel, const int32_t* start, float* t) {
    __m256 sum = _mm256_load_ps(t);
    for (int g = 0; g < p.groups; ++g, x += depth) {
      ptrdiff_t at_group = static_cast<ptrdiff_t>(g) * outs + panel * kLanes;
      __m256i acc = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p.start + at_group));
      if (kNibbles) acc = _mm256_add_epi32(acc, _mm256_set1_epi32(start[g]));
      auto multiply_add = [&](int i, __m128i weights) {
        acc = _mm256_add_epi32(acc, _mm256_madd_epi16(pair(x, i, depth), _mm256_cvtepi8_epi16(weights)));
      };
      for (int row = 0; row < rows; ++row, w += kLanes * kTaps) {
        __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w));
        if (!kNibbles) {
          multiply_add(kTaps * row, bytes);
          continue;
        }
        multiply_add(2 * kTaps * row, _mm_and_si128(bytes, low));
        multiply_add(2 * kTaps * row + kTaps, _mm_and_si128(_mm_srli_epi16(bytes, 4), low));
      }
      sum = _mm256_add_ps(sum, _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(p.m + at_group)));
    }
    _mm256_store_ps(t, sum);
  });
}

bool few_bits(const GroupedParams& p) { return p.few_bits; }

using Bytes = Panels<kLanes, kTaps>;
using Nibbles = Panels<kLanes, kTaps, true>;

}  // namespace

const KernelRow<GroupedParams> grouped_avx2 = {
    "grouped, 8 channels", Isa::avx2, nullptr, Bytes::count, Bytes::bytes, Bytes::pack, nullptr, run<false>};
const KernelRow<GroupedParams> grouped4_avx2 = {
    "grouped, 8 channels of 4 bits", Isa::avx2, few_bits, Nibbles::count, Nibbles::bytes, Nibbles::pack, Nibbles::scratch_bytes,
    run<true>};

}  // namespace bitwright
