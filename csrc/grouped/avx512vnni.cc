// VPDPBUSD: a quad of four codes is broadcast and multiplied with a quad of each of 64 channels, four sums side by side.
// Weights of 4 bits are split by a mask and a shift in front of it, which is less than reading twice the bytes.
#include <immintrin.h>

#include "panels.h"

namespace bitwright {
namespace {

constexpr int kVectors = 4, kLanes = 16 * kVectors, kTaps = 4;

// Codes i.. of a group of `depth`, in every lane. Those beyond the group meet weights of zero.
__m512i quad(const uint8_t* x, int i) {
  int codes;
  std::memcpy(&codes, x + i, sizeof codes);
  return _mm512_set1_epi32(codes);
}

template <bool kNibbles>
void run(const GroupedParams& p, const Buffers& at, int begin, int end) {
  using Layout = Panels<kLanes, kTaps, kNibbles>;
  const __m512i low = _mm512_set1_epi8(15);
  int depth = depth_of(p), outs = padded_outs(p), rows = Layout::rows(p);
  Layout::run(p, at, begin, end, [&](const uint8_t* x, const int8_t* w, int panel, const int32_t* start, float* t) {
    __m512 sums[kVectors];
    for (int v = 0; v < kVectors; ++v) sums[v] = _mm512_load_ps(t + 16 * v);
    for (int g = 0; g < p.groups; ++g, x += depth) {
      ptrdiff_t at_group = static_cast<ptrdiff_t>(g) * outs + panel * kLanes;
      __m512i acc[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        acc[v] = _mm512_loadu_si512(p.start + at_group + 16 * v);
        if (kNibbles) acc[v] = _mm512_add_epi32(acc[v], _mm512_set1_epi32(start[g]));
      }
      for (int row = 0; row < rows; ++row, w += kLanes * kTaps) {
        __m512i first = quad(x, row * Layout::kStepsTogether * kTaps);
        __m512i second = kNibbles && (2 * row + 1) * kTaps < depth ? quad(x, (2 * row + 1) * kTaps) : _mm512_setzero_si512();
        for (int v = 0; v < kVectors; ++v) {
          __m512i bytes = _mm512_loadu_si512(w + 64 * v);
          acc[v] = _mm512_dpbusd_epi32(acc[v], first, kNibbles ? _mm512_and_si512(bytes, low) : bytes);
          if (kNibbles)
            acc[v] = _mm512_dpbusd_epi32(acc[v], second, _mm512_and_si512(_mm512_srli_epi16(bytes, 4), low));
        }
      }
      for (int v = 0; v < kVectors; ++v) {
        __m512 m = _mm512_loadu_ps(p.m + at_group + 16 * v);
        sums[v] = _mm512_add_ps(sums[v], _mm512_mul_ps(_mm512_cvtepi32_ps(acc[v]), m));
      }
    }
    for (int v = 0; v < kVectors; ++v) _mm512_store_ps(t + 16 * v, sums[v]);
  });
}

bool few_bits(const GroupedParams& p) { return p.few_bits; }

using Bytes = Panels<kLanes, kTaps>;
using Nibbles = Panels<kLanes, kTaps, true>;

}  // namespace

const KernelRow<GroupedParams> grouped_avx512vnni = {
    "grouped, 64 channels", Isa::avx512vnni, nullptr, Bytes::count, Bytes::bytes, Bytes::pack, nullptr, run<false>};
const KernelRow<GroupedParams> grouped4_avx512vnni = {
    "grouped, 64 channels of 4 bits", Isa::avx512vnni, few_bits, Nibbles::count, Nibbles::bytes, Nibbles::pack,
    Nibbles::scratch_bytes, run<true>};

}  // namespace bitwright
