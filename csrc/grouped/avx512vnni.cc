// VPDPBUSD: a quad of four codes is broadcast and multiplied with a quad of each of 64 channels, four sums side by side.
#include <immintrin.h>

#include "panels.h"

namespace bitwright {
namespace {

constexpr int kVectors = 4, kLanes = 16 * kVectors;
using Layout = Panels<kLanes, 4>;

void run(const GroupedParams& p, const Buffers& at, int begin, int end) {
  int depth = depth_of(p), outs = padded_outs(p), steps = Layout::steps(p);
  Layout::run(p, at, begin, end, [&](const uint8_t* x, const int8_t* w, int panel, float* t) {
    __m512 sums[kVectors];
    for (int v = 0; v < kVectors; ++v) sums[v] = _mm512_load_ps(t + 16 * v);
    for (int g = 0; g < p.groups; ++g, x += depth) {
      ptrdiff_t at_group = static_cast<ptrdiff_t>(g) * outs + panel * kLanes;
      __m512i acc[kVectors];
      for (int v = 0; v < kVectors; ++v) acc[v] = _mm512_loadu_si512(p.start + at_group + 16 * v);
      for (int step = 0; step < steps; ++step, w += 4 * kLanes) {
        int codes;  // beyond the group they meet weights of zero
        std::memcpy(&codes, x + 4 * step, sizeof codes);
        __m512i broadcast = _mm512_set1_epi32(codes);
        for (int v = 0; v < kVectors; ++v) acc[v] = _mm512_dpbusd_epi32(acc[v], broadcast, _mm512_loadu_si512(w + 64 * v));
      }
      for (int v = 0; v < kVectors; ++v) {
        __m512 m = _mm512_loadu_ps(p.m + at_group + 16 * v);
        sums[v] = _mm512_add_ps(sums[v], _mm512_mul_ps(_mm512_cvtepi32_ps(acc[v]), m));
      }
    }
    for (int v = 0; v < kVectors; ++v) _mm512_store_ps(t + 16 * v, sums[v]);
  });
}

}  // namespace

const KernelRow<GroupedParams> grouped_avx512vnni = {
    "grouped, 64 channels", Isa::avx512vnni, nullptr, Layout::count, Layout::bytes, Layout::pack, nullptr, run};

}  // namespace bitwright
