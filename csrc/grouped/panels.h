// Weights in panels of kLanes output channels, in which kTaps neighbouring inputs of each channel lie side by side; zeros fill
// the last channels, and the end of each group where kTaps does not divide it.
#pragma once

#include "../epilogue_scalar.h"
#include "grouped.h"

namespace bitwright {
namespace {

template <int kLanes, int kTaps>
struct Panels {
  static int count(const GroupedParams& p) { return (p.out.c + kLanes - 1) / kLanes; }
  static int steps(const GroupedParams& p) { return (depth_of(p) + kTaps - 1) / kTaps; }
  static size_t panel_bytes(const GroupedParams& p) {
    return static_cast<size_t>(p.groups) * steps(p) * kLanes * kTaps;
  }
  static size_t bytes(const GroupedParams& p) { return count(p) * panel_bytes(p); }

  static void pack(const GroupedParams& p, const int8_t* weights, void* packed) {
    auto* to = static_cast<int8_t*>(packed);
    int depth = depth_of(p);
    for (int panel = 0; panel < count(p); ++panel)
      for (int g = 0; g < p.groups; ++g)
        for (int step = 0; step < steps(p); ++step)
          for (int lane = 0; lane < kLanes; ++lane)
            for (int tap = 0; tap < kTaps; ++tap) {
              int o = panel * kLanes + lane, i = step * kTaps + tap;
              bool inside = o < p.out.c && i < depth;
              *to++ = inside ? weights[static_cast<ptrdiff_t>(o) * p.in.c + g * depth + i] : int8_t{0};
            }
  }

  // `sums(x, weights, panel, t)` adds all groups to the kLanes numbers at t, which begin as b.
  template <class Sums>
  static void run(const GroupedParams& p, const Buffers& at, int begin, int end, const Sums& sums) {
    const auto* weights = static_cast<const int8_t*>(p.weights);
    for (int panel = begin; panel < end; ++panel) {
      alignas(64) float t[kLanes];
      std::memcpy(t, p.epilogue.b + panel * kLanes, sizeof t);
      sums(at.in, weights + panel * panel_bytes(p), panel, t);
      for (int lane = 0, o = panel * kLanes; lane < kLanes && o < p.out.c; ++lane, ++o)
        finish_float(p.epilogue, o, t[lane], at.second, at.out);
    }
  }
};

}  // namespace
}  // namespace bitwright
