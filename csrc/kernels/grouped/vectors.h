// Panels of kVectors vectors of channels. `Dot` multiplies a few codes with the weights of a vector's channels:
//
//   kTaps                    so many neighbouring codes at a time
//   kZero                    what is added to weights of bytes
//   Weights load(w)          of kTaps codes each for kLanes channels, a byte each
//   low(weights), high(..)   the weights in the lower and in the upper half of each byte
//   Ints codes(x, i, depth)  codes i..i + kTaps - 1 in every lane, those beyond `depth` anything if their weights are 0
//   multiply_add(acc, codes, weights)
#pragma once

#include "kernels/grouped/panels.h"
#include "kernels/vec/vec.h"

namespace bitwright {
namespace {

template <class Dot, int kVectors, bool kNibbles>
struct GroupedVectors {
  static constexpr int kLanes = Vec::kLanes, kTaps = Dot::kTaps, kVectorBytes = kLanes * kTaps;
  using Layout = Panels<kLanes * kVectors, kTaps, kNibbles, Dot::kZero>;

  static void run(const GroupedParams& p, const Buffers& at, int begin, int end) {
    int depth = depth_of(p), outs = padded_outs(p), rows = Layout::rows(p);
    Layout::run(p, at, begin, end, [&](const uint8_t* x, const int8_t* w, int panel, const int32_t* start, float* t) {
      Vec::Floats sums[kVectors];
      for (int v = 0; v < kVectors; ++v) sums[v] = Vec::load_floats(t + kLanes * v);
      for (int g = 0; g < p.groups; ++g, x += depth) {
        ptrdiff_t at_group = static_cast<ptrdiff_t>(g) * outs + panel * kLanes * kVectors;
        Vec::Ints acc[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          acc[v] = Vec::load_ints(p.start + at_group + kLanes * v);
          if (Layout::kZero) acc[v] = Vec::add(acc[v], Vec::splat_int(start[g]));
        }
        for (int row = 0; row < rows; ++row, w += kVectorBytes * kVectors) add_row(x, row, depth, w, acc);
        for (int v = 0; v < kVectors; ++v)
          sums[v] = sums[v] + Vec::floats(acc[v]) * Vec::load_floats(p.m + at_group + kLanes * v);
      }
      for (int v = 0; v < kVectors; ++v) Vec::store_floats(t + kLanes * v, sums[v]);
    });
  }

  static constexpr Kernel<GroupedParams> kernel() {
    return {Layout::count, Layout::bytes, Layout::pack, Layout::kZero ? Layout::scratch_bytes : nullptr, run};
  }

 private:
  // A row of bytes: kTaps codes, or with kNibbles twice as many.
  BITWRIGHT_INLINE static void add_row(const uint8_t* x, int row, int depth, const int8_t* w, Vec::Ints (&acc)[kVectors]) {
    int i = row * Layout::kStepsTogether * kTaps;
    Vec::Ints first = Dot::codes(x, i, depth);
    Vec::Ints second = kNibbles && i + kTaps < depth ? Dot::codes(x, i + kTaps, depth) : Vec::zero();
    for (int v = 0; v < kVectors; ++v) {
      typename Dot::Weights bytes = Dot::load(w + kVectorBytes * v);
      acc[v] = Dot::multiply_add(acc[v], first, kNibbles ? Dot::low(bytes) : bytes);
      if (kNibbles) acc[v] = Dot::multiply_add(acc[v], second, Dot::high(bytes));
    }
  }
};

}  // namespace
}  // namespace bitwright
