// Eight channels at once; pairs of codes and weights are widened to 16 bits, because VPMADDUBSW would saturate.
#include <immintrin.h>

#include "panels.h"

namespace bitwright {
namespace {

constexpr int kLanes = 8;
using Layout = Panels<kLanes, 2>;

// Codes i and i + 1 of a group of `depth`, as 16 bits each, in every lane.
__m256i pair(const uint8_t* x, int i, int depth) {
  int second = i + 1 < depth ? x[i + 1] : 0;
  return _mm256_set1_epi32(x[i] | second << 16);
}

void run(const GroupedParams& p, const Buffers& at, int begin, int end) {
  int depth = depth_of(p), outs = padded_outs(p);
  Layout::run(p, at, begin, end, [&](const uint8_t* x, const int8_t* w, int panel, float* t) {
    __m256 sum = _mm256_load_ps(t);
    for (int g = 0; g < p.groups; ++g, x += depth) {
      ptrdiff_t at_group = static_cast<ptrdiff_t>(g) * outs + panel * kLanes;
      __m256i acc = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p.start + at_group));
      for (int i = 0; i < depth; i += 2, w += 2 * kLanes) {
        __m256i weights = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w)));
        acc = _mm256_add_epi32(acc, _mm256_madd_epi16(pair(x, i, depth), weights));
      }
      sum = _mm256_add_ps(sum, _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(p.m + at_group)));
    }
    _mm256_store_ps(t, sum);
  });
}

}  // namespace

const KernelRow<GroupedParams> grouped_avx2 = {
    "grouped, 8 channels", Isa::avx2, nullptr, Layout::count, Layout::bytes, Layout::pack, nullptr, run};

}  // namespace bitwright
