// What kernels of 16 channels share: 16 channels at a time, whose taps are multiplied in sets of kTaps. Taps that the last set
// is short of repeat the last one, with weights of zero.
#pragma once

#include "kernels/depthwise/depthwise.h"

namespace bitwright {
namespace {

constexpr int kChannels = 16;

template <class Weight, int kTaps>
struct TapSets {
  static constexpr int kCodes = kTaps * kChannels;  // weights of a set
  static constexpr int kMostOffsets = (kMostDepthwiseTaps + kTaps - 1) / kTaps * kTaps;

  static int taps(const DepthwiseParams& p) { return p.window.kh * p.window.kw; }
  static int count(const DepthwiseParams& p) { return (taps(p) + kTaps - 1) / kTaps; }
  static int channel_blocks(const DepthwiseParams& p) { return (p.out.c + kChannels - 1) / kChannels; }

  static size_t packed_bytes(const DepthwiseParams& p) {
    return static_cast<size_t>(channel_blocks(p)) * count(p) * kCodes * sizeof(Weight);
  }

  // [block of channels][set of taps][channel][tap of the set]
  static void pack(const DepthwiseParams& p, const int8_t* weights, void* packed) {
    auto* to = static_cast<Weight*>(packed);
    for (int block = 0; block < channel_blocks(p); ++block)
      for (int set = 0; set < count(p); ++set)
        for (int i = 0; i < kCodes; ++i) {
          int channel = block * kChannels + i / kTaps, tap = kTaps * set + i % kTaps;
          bool inside = channel < p.out.c && tap < taps(p);
          *to++ = inside ? weights[channel * taps(p) + tap] : Weight{0};
        }
  }

  static const Weight* weights(const DepthwiseParams& p, int c) {
    return static_cast<const Weight*>(p.weights) + static_cast<ptrdiff_t>(c) * kTaps * count(p);
  }

  // The distance in bytes from the start of a window to each tap.
  static void offsets(const DepthwiseParams& p, ptrdiff_t (&to)[kMostOffsets]) {
    for (int tap = 0; tap < kTaps * count(p); ++tap) {
      int there = tap < taps(p) ? tap : taps(p) - 1;
      to[tap] = there / p.window.kw * p.window.dilation_h * p.in.row + there % p.window.kw * p.window.dilation_w * p.in.pixel;
    }
  }
};

// The first window of row y, from channel c on.
inline const uint8_t* window_of(const DepthwiseParams& p, const Buffers& at, int y, int c) {
  return at.in + (y * p.window.stride_h - p.window.pad_top) * p.in.row - p.window.pad_left * p.in.pixel + c;
}

inline DepthwiseGrid grid_of(const DepthwiseParams& p) { return {p, p.out.h}; }

inline int units(const DepthwiseParams& p) { return grid_of(p).units(); }

// Runner: row(y, c) does 16 channels of a row.
template <class Runner>
void run_rows(const DepthwiseParams& p, const Buffers& at, int begin, int end) {
  Runner runner(p, at);
  grid_of(p).each(begin, end, [&](int block, int first, int last) {
    int stop = block + DepthwiseGrid::kBlockChannels;
    for (int c = block; c < stop && c < p.out.c; c += kChannels)
      for (int y = first; y < last; ++y) runner.row(y, c);
  });
}

}  // namespace
}  // namespace bitwright
