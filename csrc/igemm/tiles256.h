// Register tiles of up to 6 pixels x 16 channels in 256-bit registers. How a quad of codes is multiplied is left to
// `Quad`, the one thing in which AVX2 and AVX-VNNI differ, and whether there are excess quads; each includes this with its
// own flags.
#pragma once

#include <immintrin.h>

#include "../epilogue_avx2.h"
#include "pairs.h"

namespace bitwright {
namespace {

constexpr int kMostPixels = 6;
constexpr int kPixelBlock = 48;

// Where the windows, residuals and outputs of a block of pixels are.
struct PixelBlock {
  const uint8_t* x[kPixelBlock];
  const uint8_t* second[kPixelBlock];
  uint8_t* out[kPixelBlock];
  int index = -1, group = 0, count = 0;

  void take(const IgemmParams& p, const PackedIgemm& packed, const Buffers& at, const IgemmPiece& piece) {
    if (piece.pixel_block == index && piece.group == group) return;
    index = piece.pixel_block, group = piece.group;
    int first = index * kPixelBlock, left = p.out.h * p.out.w - first;
    count = left < kPixelBlock ? left : kPixelBlock;
    const uint8_t* in = at.in + group * packed.depth - p.window.pad_top * p.in.row - p.window.pad_left * p.in.pixel;
    for (int r = 0, y = first / p.out.w, column = first % p.out.w; r < count; column = 0, ++y) {
      const uint8_t* window = in + y * p.window.stride_h * p.in.row + column * p.window.stride_w * p.in.pixel;
      const uint8_t* residual = at.second + y * p.second.row + column * p.second.pixel;
      uint8_t* to = at.out + y * p.out.row + column * p.out.pixel;
      int end = r + p.out.w - column < count ? r + p.out.w - column : count;
      for (; r < end; ++r, window += p.window.stride_w * p.in.pixel, residual += p.second.pixel, to += p.out.pixel)
        x[r] = window, second[r] = residual, out[r] = to;
    }
  }
};

struct Tile {
  const uint8_t* const* x;
  const uint8_t* const* second;
  uint8_t* const* out;
  const int8_t* weights;
  Excess excess[2];
  int channel, count;  // the first output channel, and how many lanes to store
};

template <class Quad>
typename Quad::Codes quad_of(const uint8_t* x) {
  int codes;
  __builtin_memcpy(&codes, x, 4);
  return typename Quad::Codes(_mm256_set1_epi32(codes));
}

template <class Quad, int kPixels>
void tile(const IgemmParams& p, const PackedIgemm& packed, const Epilogue256& epilogue, const Tile& t) {
  __m256i acc[kPixels][2];
  for (int v = 0; v < 2; ++v) {
    __m256i start = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p.start + t.channel + 8 * v));
    for (int r = 0; r < kPixels; ++r) acc[r][v] = start;
  }
  const int8_t* w = t.weights;
  const Run* runs = packed.run_table();
  for (int i = 0; i < packed.runs; ++i) {
    const uint8_t* x[kPixels];
    for (int r = 0; r < kPixels; ++r) x[r] = t.x[r] + runs[i].offset;
    for (ptrdiff_t quad = 0; quad < runs[i].quads; ++quad, w += 4 * kPanel) {
      typename Quad::Weights low(_mm256_load_si256(reinterpret_cast<const __m256i*>(w)));
      typename Quad::Weights high(_mm256_load_si256(reinterpret_cast<const __m256i*>(w + 32)));
      for (int r = 0; r < kPixels; ++r) {
        typename Quad::Codes codes = quad_of<Quad>(x[r] + 4 * quad);
        acc[r][0] = Quad::multiply_add(acc[r][0], codes, low);
        acc[r][1] = Quad::multiply_add(acc[r][1], codes, high);
      }
    }
  }
  if constexpr (Quad::kExcess) {
    const uint8_t* x[kPixels];
    for (int r = 0; r < kPixels; ++r) x[r] = t.x[r];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half)
      for (int i = 0; i < t.excess[half].count; ++i) {
        const int8_t* w = t.excess[half].weights + 32 * i;
        typename Quad::Weights weights(_mm256_load_si256(reinterpret_cast<const __m256i*>(w)));
        for (int r = 0; r < kPixels; ++r)
          acc[r][half] = Quad::multiply_add(acc[r][half], quad_of<Quad>(x[r] + t.excess[half].offsets[i]), weights);
      }
  }
  for (int r = 0; r < kPixels; ++r) epilogue.store(acc[r], t.channel, t.second[r], t.out[r], t.count);
}

inline IgemmGrid grid_of(const IgemmParams& p) {
  return igemm_grid(p, (p.out.h * p.out.w + kPixelBlock - 1) / kPixelBlock, 1);
}

inline int units(const IgemmParams& p) { return grid_of(p).count(); }

template <class Quad>
void run_piece(const IgemmParams& p, const PackedIgemm& packed, const Epilogue256& epilogue, const PixelBlock& block,
               const IgemmPiece& piece) {
  using TileFunction = void (*)(const IgemmParams&, const PackedIgemm&, const Epilogue256&, const Tile&);
  constexpr TileFunction kTiles[] = {tile<Quad, 1>, tile<Quad, 2>, tile<Quad, 3>, tile<Quad, 4>, tile<Quad, 5>, tile<Quad, 6>};
  Tile t;
  t.channel = piece.group * packed.outs + piece.first_panel * kPanel;
  t.count = lanes_to_store(p, packed, piece, t.channel);
  t.weights = packed.panel(piece.group, piece.first_panel);
  if constexpr (Quad::kExcess)
    for (int half = 0; half < 2; ++half)
      t.excess[half] = excess_of(packed, 2 * (piece.group * packed.panels + piece.first_panel) + half);
  for (int r = 0, pixels; r < block.count; r += pixels) {
    pixels = block.count - r < kMostPixels ? block.count - r : kMostPixels;
    t.x = block.x + r, t.second = block.second + r, t.out = block.out + r;
    kTiles[pixels - 1](p, packed, epilogue, t);
  }
}

template <class Quad>
void run(const IgemmParams& p, const Buffers& at, int begin, int end) {
  const auto& packed = *static_cast<const PackedIgemm*>(p.weights);
  Epilogue256 epilogue(p.epilogue);
  IgemmGrid grid = grid_of(p);
  PixelBlock block;
  for (int i = begin; i < end; ++i) {
    IgemmPiece piece = igemm_piece(grid, packed.panels, i);
    block.take(p, packed, at, piece);
    run_piece<Quad>(p, packed, epilogue, block, piece);
  }
}

}  // namespace
}  // namespace bitwright
