// Dense lanes: four neighbouring pixels of a row are interleaved so that one VPDPBUSD does four taps. A quad of pixels serves
// several outputs, each with the same weights shifted by its distance.
#pragma once

#include "kernels/depthwise/lanes512.h"

namespace bitwright {
namespace {
namespace dense {

// How many neighbouring outputs share their quads of pixels, and how many quads those are.
struct Sharing {
  int outs, quads;
};

Sharing sharing_of(const DepthwiseParams& p) {
  auto quads = [&](int outs) { return ((outs - 1) * p.window.stride_w + p.window.kw + 3) / 4; };
  if (p.out.w >= 4 && p.window.kw > 3 && quads(4) <= 2) return {4, 2};
  if (p.out.w >= 2 && quads(2) == quads(1)) return {2, quads(2)};
  return {1, quads(1)};
}

DepthwiseGrid grid_of(const DepthwiseParams& p) { return grid512(p, p.out.h); }

int units(const DepthwiseParams& p) { return grid_of(p).units(); }

size_t packed_bytes(const DepthwiseParams& p) {
  Sharing s = sharing_of(p);
  return static_cast<size_t>((p.out.c + 63) / 64) * p.window.kh * s.outs * s.quads * kBlock;
}

// [block of 64 channels][row of taps][output][quad][vector][lane][4 channels][4 taps]. Narrow blocks repeat in the lanes.
void pack(const DepthwiseParams& p, const int8_t* weights, void* packed) {
  Sharing s = sharing_of(p);
  auto* to = static_cast<int8_t*>(packed);
  for (int c = 0; c < p.out.c; c += 64)
    for (int ky = 0; ky < p.window.kh; ++ky)
      for (int out = 0; out < s.outs; ++out)
        for (int quad = 0; quad < s.quads; ++quad)
          for (int i = 0; i < kBlock; ++i) {
            int channel = lane_channel(p, c, i / 4);
            int tap = 4 * quad + i % 4 - out * p.window.stride_w;
            bool inside = channel < p.out.c && tap >= 0 && tap < p.window.kw;
            *to++ = inside ? weights[(channel * p.window.kh + ky) * p.window.kw + tap] : int8_t{0};
          }
}

// A block of 64 / kPlaces channels, at kPlaces places of the row at once, kOuts outputs at each.
template <int kPlaces, int kOuts, int kQuads>
class Block {
 public:
  Block(const DepthwiseParams& p, const Buffers& at, int c) : p_(p), at_(at), c_(c), lanes_(p, c) {
    weights_ = static_cast<const int8_t*>(p.weights) + static_cast<ptrdiff_t>(c / 64) * p.window.kh * kOuts * kQuads * kBlock;
    int span = (kOuts - 1) * p.window.stride_w + p.window.kw;  // pixels beyond it have weights of zero: any will do
    for (int i = 0; i < 4 * kQuads; ++i) pixel_[i] = (i < span ? i : span - 1) * p.in.pixel;
  }

  void row(int y) const {
    const uint8_t* in = at_.in + c_ + (y * p_.window.stride_h - p_.window.pad_top) * p_.in.row;
    uint8_t* out = at_.out + c_ + y * p_.out.row;
    for (int x = 0; x < p_.out.w; x += kPlaces * kOuts) {
      int place[kPlaces];  // the last ones overlap with those before them
      for (int i = 0; i < kPlaces; ++i) place[i] = x + i * kOuts < p_.out.w - kOuts ? x + i * kOuts : p_.out.w - kOuts;
      outputs(in, place, out);
    }
  }

 private:
  void outputs(const uint8_t* in, const int (&place)[kPlaces], uint8_t* out) const {
    __m512i acc[kOuts][4];
#pragma GCC unroll 4
    for (int o = 0; o < kOuts; ++o) lanes_.start(acc[o]);
    const uint8_t* x[kPlaces];
    for (int i = 0; i < kPlaces; ++i) x[i] = in + (place[i] * p_.window.stride_w - p_.window.pad_left) * p_.in.pixel;
    const int8_t* w = weights_;
    for (int ky = 0; ky < p_.window.kh; ++ky, w += kOuts * kQuads * kBlock) {
#pragma GCC unroll 2
      for (int q = 0; q < kQuads; ++q) {
        auto pixel = [&](int i) { return load_places<kPlaces>(x, pixel_[4 * q + i]); };
        __m512i taps[4];
        interleave(pixel(0), pixel(1), pixel(2), pixel(3), taps);
#pragma GCC unroll 4
        for (int o = 0; o < kOuts; ++o) multiply_add(acc[o], taps, w + (o * kQuads + q) * kBlock);
      }
      for (int i = 0; i < kPlaces; ++i) x[i] += p_.window.dilation_h * p_.in.row;
    }
#pragma GCC unroll 4
    for (int o = 0; o < kOuts; ++o) lanes_.store(acc[o], out + o * p_.out.pixel, place);
  }

  const DepthwiseParams& p_;
  const Buffers& at_;
  int c_;
  const int8_t* weights_;
  Lanes512<kPlaces> lanes_;
  ptrdiff_t pixel_[4 * kQuads];
};

template <int kOuts, int kQuads>
void run_shared(const DepthwiseParams& p, const Buffers& at, int begin, int end) {
  grid_of(p).each(begin, end, [&](int c, int first, int last) {
    auto rows = [&](const auto& block) {
      for (int y = first; y < last; ++y) block.row(y);
    };
    switch (block_width(p, c)) {
      case 64: return rows(Block<1, kOuts, kQuads>(p, at, c));
      case 32: return rows(Block<2, kOuts, kQuads>(p, at, c));
      default: return rows(Block<4, kOuts, kQuads>(p, at, c));
    }
  });
}

__attribute__((noinline)) void run(const DepthwiseParams& p, const Buffers& at, int begin, int end) {
  Sharing s = sharing_of(p);
  if (s.outs == 4) return run_shared<4, 2>(p, at, begin, end);
  if (s.outs == 2) return s.quads == 1 ? run_shared<2, 1>(p, at, begin, end) : run_shared<2, 2>(p, at, begin, end);
  return s.quads == 1 ? run_shared<1, 1>(p, at, begin, end) : run_shared<1, 2>(p, at, begin, end);
}

}  // namespace dense
}  // namespace
}  // namespace bitwright
