// Register tiles of up to 6 pixels x 16 channels in 256-bit registers. How a quad of codes is multiplied is left to
// `Product`, in which AVX2 and AVX-VNNI differ, and whether codes are widened to 16 bits before and in what order; each
// includes this with its own flags. A product may count too much, so much of each pixel and so much of each channel: the
// latter stands before the weights of a panel.
#pragma once

#include <immintrin.h>

#include "kernels/epilogue_avx2.h"
#include "kernels/igemm/packing.h"
#include "kernels/unrolled.h"

namespace bitwright {
namespace {

constexpr int kMostPixels = 6;  // of any product
constexpr int kPixelBlock = 52;
constexpr int kWidenedCodes = 54 << 10;  // of a block at most, but for a tile: so they stay in L2
constexpr int kWidenedAtOnce = 16;

template <class Product>
int most_pixels(const PackedIgemm& packed) {
  int most = Product::kWidens ? kWidenedCodes / (4 * packed.quads) : kPixelBlock;
  return most < kMostPixels ? kMostPixels : most < kPixelBlock ? most : kPixelBlock;
}

template <class Product>
IgemmBlocks blocks_of(const IgemmParams& p, const PackedIgemm& packed) {
  return igemm_blocks(p, most_pixels<Product>(packed), Product::kPanels);
}

// The memory that the widened codes of a block take, for this map or a smaller one.
template <class Product>
size_t scratch_bytes(const IgemmParams& p) {
  PackedIgemm header = quads_header(p);
  return (static_cast<size_t>(most_pixels<Product>(header)) * 4 * header.quads + kWidenedAtOnce) * sizeof(int16_t);
}

// The addresses of the codes, residuals and outputs of a block of pixels. The codes of a pixel are the `runs` from x on.
struct PixelBlock {
  const uint8_t* x[kPixelBlock];
  const uint8_t* second[kPixelBlock];
  uint8_t* out[kPixelBlock];
  int32_t too_much[kPixelBlock];
  const Run* runs;
  int run_count;
  int index = -1, group = 0, count = 0;

  template <class Product>
  void take(const IgemmParams& p, const PackedIgemm& packed, const Buffers& at, const IgemmPiece& piece, int pixels) {
    if (piece.pixel_block == index && piece.group == group) return;
    index = piece.pixel_block, group = piece.group;
    runs = packed.run_table(), run_count = packed.runs;
    int first = index * pixels, left = p.out.h * p.out.w - first;
    count = left < pixels ? left : pixels;
    const uint8_t* in = at.in + group * packed.depth - p.window.pad_top * p.in.row - p.window.pad_left * p.in.pixel;
    for (int r = 0, y = first / p.out.w, column = first % p.out.w; r < count; column = 0, ++y) {
      const uint8_t* window = in + y * p.window.stride_h * p.in.row + column * p.window.stride_w * p.in.pixel;
      const uint8_t* residual = at.second + y * p.second.row + column * p.second.pixel;
      uint8_t* to = at.out + y * p.out.row + column * p.out.pixel;
      int end = r + p.out.w - column < count ? r + p.out.w - column : count;
      for (; r < end; ++r, window += p.window.stride_w * p.in.pixel, residual += p.second.pixel, to += p.out.pixel)
        x[r] = window, second[r] = residual, out[r] = to;
    }
    if constexpr (Product::kWidens) widen<Product>(packed, reinterpret_cast<int16_t*>(at.scratch));
  }

  // Copies all runs of each pixel as 16-bit numbers, without gaps.
  template <class Product>
  void widen(const PackedIgemm& packed, int16_t* to) {
    for (int r = 0; r < count; ++r) {
      const uint8_t* pixel = x[r];
      x[r] = reinterpret_cast<const uint8_t*>(to);
      typename Product::TooMuch too_much_here;
      for (const Run* run = packed.run_table(); run < packed.run_table() + packed.runs; to += 4 * run->quads, ++run)
        for (ptrdiff_t i = 0; i < 4 * run->quads; i += kWidenedAtOnce) {  // what it writes too much, the next run overwrites
          __m256i codes = Product::widened(_mm_loadu_si128(reinterpret_cast<const __m128i*>(pixel + run->offset + i)));
          too_much_here.add(codes, run->quads - i / 4);
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), codes);
        }
      too_much[r] = too_much_here.sum();
    }
    whole_ = {0, packed.quads};
    runs = &whole_, run_count = 1;
  }

 private:
  Run whole_;
};

// What is multiplied, and where it goes: pixels, and the weights from a panel on.
struct Operands {
  const uint8_t* const* x;
  const uint8_t* const* second;
  uint8_t* const* out;
  const int32_t* too_much;
  const Run* runs;
  int run_count;
  const int8_t* weights;
  int pixels;
  int channel, count;  // the first output channel, and how many lanes to store
};

// The tiles of a panel from pixel `first` on, as long as they are whole; returns the first pixel left. kHalf: of the last 8
// channels only where a panel has no more.
template <class Product, int kPixels, bool kHalf>
int whole_tiles(const IgemmParams& p, const Epilogue256& epilogue, const Operands& t, int first) {
  for (; first + kPixels <= t.pixels; first += kPixels) {
    __m256i acc[kPixels][2];
    const int8_t* w = t.weights;
    unrolled<2>([&](auto v) BITWRIGHT_INLINE {
      __m256i start = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p.start + t.channel + 8 * v));
      if constexpr (Product::kCountsTooMuch)
        start = _mm256_sub_epi32(start, _mm256_load_si256(reinterpret_cast<const __m256i*>(w + 32 * v)));
      unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
        acc[r][v] = start;
        if constexpr (Product::kCountsTooMuch) acc[r][v] = _mm256_sub_epi32(start, _mm256_set1_epi32(t.too_much[first + r]));
      });
    });
    if constexpr (Product::kCountsTooMuch) w += 4 * kPanel;
    for (int i = 0; i < t.run_count; ++i) {
      const uint8_t* x[kPixels];
      unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE { x[r] = t.x[first + r] + t.runs[i].offset; });
      ptrdiff_t quad = 0;
      if constexpr (Product::kInTwos)
        for (; quad + 2 <= t.runs[i].quads; quad += 2, w += 2 * Product::kQuadBytes)
          Product::template add_two_quads<kHalf>(acc, x, quad, w);
      for (; quad < t.runs[i].quads; ++quad, w += Product::kQuadBytes) Product::template add_quad<kHalf>(acc, x, quad, w);
    }
    epilogue.store(acc, t.channel, t.second + first, t.out + first, t.count);
  }
  return first;
}

struct Tiles {
  int (*by[2][kMostPixels])(const IgemmParams&, const Epilogue256&, const Operands&, int);  // by half, by pixels less 1
};

template <class Product>
constexpr Tiles tiles_of() {
  Tiles tiles = {};
  unrolled<Product::kPixels>(
      [&](auto r) { tiles.by[0][r] = whole_tiles<Product, r + 1, false>, tiles.by[1][r] = whole_tiles<Product, r + 1, true>; });
  return tiles;
}

template <class Product>
int units(const IgemmParams& p) {
  return blocks_of<Product>(p, quads_header(p)).grid.count();
}

template <class Product>
void run_panel(const IgemmParams& p, const PackedIgemm& packed, const Epilogue256& epilogue, const PixelBlock& block,
               const IgemmPiece& piece) {
  constexpr Tiles kTiles = tiles_of<Product>();
  int channel = piece.group * packed.outs + piece.first_panel * kPanel;
  const Operands t = {block.x,
                      block.second,
                      block.out,
                      block.too_much,
                      block.runs,
                      block.run_count,
                      packed.panel(piece.group, piece.first_panel),
                      block.count,
                      channel,
                      lanes_to_store(p, packed, piece, channel)};
  bool half = piece.last_panel == packed.panels && (packed.outs - 1) % kPanel < kPanel / 2;
  int left = kTiles.by[half][Product::kPixels - 1](p, epilogue, t, 0);
  if (left < block.count) kTiles.by[half][block.count - left - 1](p, epilogue, t, left);
}

template <class Product>
void run(const IgemmParams& p, const Buffers& at, int begin, int end) {
  const auto& packed = *static_cast<const PackedIgemm*>(p.weights);
  Epilogue256 epilogue(p.epilogue);
  IgemmBlocks blocks = blocks_of<Product>(p, packed);
  PixelBlock block;
  for (int i = begin; i < end; ++i) {
    IgemmPiece piece = igemm_piece(blocks.grid, packed.panels, i);
    block.take<Product>(p, packed, at, piece, blocks.pixels);
    for (int panel = piece.first_panel; panel < piece.last_panel; ++panel) {
      IgemmPiece one = {piece.pixel_block, piece.group, panel, panel + 1};
      if constexpr (requires { typename Product::InTwos; })
        if (fits_in_twos(packed, piece.group, panel)) {
          run_panel<typename Product::InTwos>(p, packed, epilogue, block, one);
          continue;
        }
      run_panel<Product>(p, packed, epilogue, block, one);
    }
  }
}

}  // namespace
}  // namespace bitwright
