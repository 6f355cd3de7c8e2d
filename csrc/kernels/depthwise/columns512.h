// 3x3: four pixels of a column are interleaved, which hold the columns of taps of two rows of outputs. Along a row, columns
// stay in registers while outputs need them, so each is loaded and interleaved once for all its up to six outputs.
#pragma once

#include "kernels/depthwise/lanes512.h"

namespace bitwright {
namespace {
namespace columns {

constexpr int kTaps = 3;
constexpr int kRows = 2;  // of outputs that four pixels of a column can serve

int rows_together(const DepthwiseParams& p) { return p.window.stride_h == 1 ? kRows : 1; }

DepthwiseGrid grid_of(const DepthwiseParams& p) { return grid512(p, (p.out.h + rows_together(p) - 1) / rows_together(p)); }

int units(const DepthwiseParams& p) { return grid_of(p).units(); }

size_t packed_bytes(const DepthwiseParams& p) { return static_cast<size_t>((p.out.c + 63) / 64) * kTaps * kRows * kBlock; }

// [block of 64 channels][column of taps][row of outputs][vector][lane][4 channels][4 pixels of a column]
void pack(const DepthwiseParams& p, const int8_t* weights, void* packed) {
  auto* to = static_cast<int8_t*>(packed);
  for (int c = 0; c < p.out.c; c += 64)
    for (int kx = 0; kx < kTaps; ++kx)
      for (int row = 0; row < kRows; ++row)
        for (int i = 0; i < kBlock; ++i) {
          int channel = lane_channel(p, c, i / 4), ky = i % 4 - row;
          bool inside = channel < p.out.c && ky >= 0 && ky < kTaps;
          *to++ = inside ? weights[(channel * kTaps + ky) * kTaps + kx] : int8_t{0};
        }
}

// A block of channels; each of kPlaces parts of the row is walked at the same time.
template <int kPlaces, int kStride>
class Block {
 public:
  Block(const DepthwiseParams& p, const Buffers& at, int c)
      : p_(p),
        at_(at),
        c_(c),
        part_((p.out.w + kPlaces - 1) / kPlaces),
        weights_(static_cast<const int8_t*>(p.weights) + static_cast<ptrdiff_t>(c / 64) * kTaps * kRows * kBlock),
        lanes_(p, c) {}

  // Rows y.. of outputs.
  template <int kTogether>
  void rows(int y) const {
    const uint8_t* in = at_.in + c_ + (y * p_.window.stride_h - p_.window.pad_top) * p_.in.row;
    int place[kPlaces];  // the last part overlaps with the one before it
    const uint8_t* x[kPlaces];
    for (int i = 0; i < kPlaces; ++i) {
      place[i] = i * part_ < p_.out.w - part_ ? i * part_ : p_.out.w - part_;
      x[i] = in + (place[i] * kStride - p_.window.pad_left) * p_.in.pixel;
    }
    uint8_t* out = at_.out + c_ + y * p_.out.row;
    __m512i columns[kTaps][4];
#pragma GCC unroll 2
    for (int i = 0; i < kTaps - kStride; ++i) next<kTogether>(x, columns[i]);
    for (int n = 0; n < part_; ++n, out += p_.out.pixel) {
#pragma GCC unroll 2
      for (int i = kTaps - kStride; i < kTaps; ++i) next<kTogether>(x, columns[i]);
      __m512i acc[kTogether][4];
#pragma GCC unroll 2
      for (int r = 0; r < kTogether; ++r) {
        lanes_.start(acc[r]);
#pragma GCC unroll 3
        for (int kx = 0; kx < kTaps; ++kx) multiply_add(acc[r], columns[kx], weights_ + (kx * kRows + r) * kBlock);
      }
#pragma GCC unroll 2
      for (int r = 0; r < kTogether; ++r) lanes_.store(acc[r], out + r * p_.out.row, place);
#pragma GCC unroll 2
      for (int i = 0; i < kTaps - kStride; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) columns[i][v] = columns[i + kStride][v];
    }
  }

 private:
  // The column at x, which moves to the next one.
  template <int kTogether>
  __attribute__((always_inline)) void next(const uint8_t* (&x)[kPlaces], __m512i (&column)[4]) const {
    auto pixel = [&](int y) { return load_places<kPlaces>(x, y * p_.in.row); };
    __m512i third = pixel(2);
    interleave(pixel(0), pixel(1), third, kTogether == 1 ? third : pixel(3), column);
    for (int i = 0; i < kPlaces; ++i) x[i] += p_.in.pixel;
  }

  const DepthwiseParams& p_;
  const Buffers& at_;
  int c_, part_;
  const int8_t* weights_;
  Lanes512<kPlaces> lanes_;
};

template <int kPlaces, int kStride>
void run_block(const DepthwiseParams& p, const Buffers& at, int c, int begin, int end) {
  Block<kPlaces, kStride> block(p, at, c);
  int together = rows_together(p);
  for (int i = begin; i < end; ++i) {
    int y = i * together;
    if (together == kRows && y + 1 < p.out.h)
      block.template rows<kRows>(y);
    else
      block.template rows<1>(y);
  }
}

template <int kStride>
void run_stride(const DepthwiseParams& p, const Buffers& at, int begin, int end) {
  grid_of(p).each(begin, end, [&](int c, int first, int last) {
    switch (block_width(p, c)) {
      case 64: return run_block<1, kStride>(p, at, c, first, last);
      case 32: return run_block<2, kStride>(p, at, c, first, last);
      default: return run_block<4, kStride>(p, at, c, first, last);
    }
  });
}

__attribute__((noinline)) void run(const DepthwiseParams& p, const Buffers& at, int begin, int end) {
  p.window.stride_w == 1 ? run_stride<1>(p, at, begin, end) : run_stride<2>(p, at, begin, end);
}

}  // namespace columns
}  // namespace
}  // namespace bitwright
