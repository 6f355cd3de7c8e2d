// Weights in panels of kLanes output channels, in which kTaps neighbouring inputs of each channel lie side by side; zeros fill
// the last channels, and the end of each group where kTaps does not divide it.
//
// With kNibbles two such steps share their bytes, the first in the low half, as w + 8 (0 where there is no weight). So
// sum x * w = sum x * nibble - 8 * sum x, and the last sum is the same for all channels: no weight is ever made signed.
// Where only bytes of the same sign can be multiplied, whole bytes are kept likewise, as w + kByteZero.
#pragma once

#include "kernels/epilogue_scalar.h"
#include "kernels/grouped/grouped.h"

namespace bitwright {
namespace {

constexpr int kNibbleZero = 8;

template <int kLanes, int kTaps, bool kNibbles = false, int kByteZero = 0>
struct Panels {
  static constexpr int kZero = kNibbles ? kNibbleZero : kByteZero;
  static constexpr int kStepsTogether = kNibbles ? 2 : 1;

  static int count(const GroupedParams& p) { return (p.out.c + kLanes - 1) / kLanes; }
  // Per group, of kLanes * kTaps bytes each.
  static int rows(const GroupedParams& p) {
    int taps = kTaps * kStepsTogether;
    return (depth_of(p) + taps - 1) / taps;
  }
  static size_t panel_bytes(const GroupedParams& p) { return static_cast<size_t>(p.groups) * rows(p) * kLanes * kTaps; }
  static size_t bytes(const GroupedParams& p) { return count(p) * panel_bytes(p); }
  static size_t scratch_bytes(const GroupedParams& p) { return kZero ? p.groups * sizeof(int32_t) : 0; }

  static void pack(const GroupedParams& p, const int8_t* weights, void* packed) {
    auto* to = static_cast<int8_t*>(packed);
    int depth = depth_of(p);
    auto weight = [&](int o, int g, int i, int none, int zero) {
      bool inside = o < p.out.c && i < depth;
      return inside ? weights[static_cast<ptrdiff_t>(o) * p.in.c + g * depth + i] + zero : none;
    };
    for (int panel = 0; panel < count(p); ++panel)
      for (int g = 0; g < p.groups; ++g)
        for (int row = 0; row < rows(p); ++row)
          for (int lane = 0; lane < kLanes; ++lane)
            for (int tap = 0; tap < kTaps; ++tap) {
              int o = panel * kLanes + lane, i = row * kTaps * kStepsTogether + tap;
              int code = weight(o, g, i, 0, kZero);
              if (kNibbles) code |= weight(o, g, i + kTaps, 0, kNibbleZero) << 4;
              *to++ = static_cast<int8_t>(code);
            }
  }

  // `sums(x, weights, panel, start, t)` adds all groups to the kLanes numbers at t, which begin as b; the sum of group g
  // begins at p.start plus start[g].
  template <class Sums>
  static void run(const GroupedParams& p, const Buffers& at, int begin, int end, const Sums& sums) {
    const auto* weights = static_cast<const int8_t*>(p.weights);
    auto* start = reinterpret_cast<int32_t*>(at.scratch);
    for (int g = 0, depth = depth_of(p); kZero && g < p.groups; ++g) {
      uint32_t sum = 0;  // kZero times it may wrap; the sums that it is part of fit int32
      for (int i = 0; i < depth; ++i) sum += at.in[g * depth + i];
      start[g] = static_cast<int32_t>(0u - kZero * sum);
    }
    for (int panel = begin; panel < end; ++panel) {
      alignas(64) float t[kLanes];
      std::memcpy(t, p.epilogue.b + panel * kLanes, sizeof t);
      sums(at.in, weights + panel * panel_bytes(p), panel, start, t);
      for (int lane = 0, o = panel * kLanes; lane < kLanes && o < p.out.c; ++lane, ++o)
        finish_float(p.epilogue, o, t[lane], at.second, at.out);
    }
  }
};

}  // namespace
}  // namespace bitwright
