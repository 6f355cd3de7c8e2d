// Register tiles of up to 5 pixels x 16 channels in 128-bit registers, and of one pixel x 4 panels for GEMV. `Product` says how
// four quads of a pixel's codes, which are one register, are multiplied:
//
//   codes of pixel r    q0 q1 q2 q3                            a register; lane i is quad i
//   weights             quad i of channels 0..3, 4..7, ...     four registers for each quad
//
// Where a product takes signed codes (kBias), they are read less 128, and what that takes from a sum, 128 * sum of w, is added
// to its start; packing writes those corrections behind the weights.
#pragma once

#include "kernels/epilogue_neon.h"
#include "kernels/igemm/packing.h"
#include "kernels/unrolled.h"

namespace bitwright {
namespace {

constexpr int kMostPixels = 5;
constexpr int kPixelBlock = 50;
constexpr int kGemvPanels = 4;
constexpr int kQuadBytes = 4 * kPanel;

ptrdiff_t corrections(const PackedIgemm& h) { return h.weights + h.groups * h.group_bytes; }

template <class Product>
size_t packed_bytes(const IgemmParams& p) {
  PackedIgemm h = quads_header(p);
  return static_cast<size_t>(corrections(h)) + (Product::kBias ? sizeof(int32_t) * h.groups * h.panels * kPanel : 0);
}

template <class Product>
void pack(const IgemmParams& p, const int8_t* weights, void* packed) {
  pack_quads(p, weights, packed);
  if (!Product::kBias) return;
  const auto& h = *static_cast<const PackedIgemm*>(packed);
  auto* to = reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(packed) + corrections(h));
  for (int panel = 0; panel < h.groups * h.panels; ++panel) {
    const int8_t* w = h.panel(panel / h.panels, panel % h.panels);
    for (int i = 0; i < kPanel; ++i) to[panel * kPanel + i] = 0;
    for (int quad = 0; quad < h.quads; ++quad)
      for (int i = 0; i < kQuadBytes; ++i) to[panel * kPanel + i / 4] += static_cast<uint32_t>(Product::kBias * *w++);
  }
}

struct Tile {
  const uint8_t* const* x;  // windows of pixels
  const uint8_t* const* second;
  uint8_t* const* out;
  const int8_t* weights;
  const int32_t* correction;
  int channel, count;  // the first output channel, and how many lanes to store
};

template <class Product, int kPixels, int kPanels>
void tile(const IgemmParams& p, const PackedIgemm& packed, const Epilogue128& epilogue, const Tile& t) {
  int32x4_t acc[kPixels * kPanels][4];
  unrolled<kPanels * 4>([&](auto v) BITWRIGHT_INLINE {
    int32x4_t start = vld1q_s32(p.start + t.channel + 4 * v);
    if constexpr (Product::kBias != 0) start = vaddq_s32(start, vld1q_s32(t.correction + 4 * v));
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE { acc[r * kPanels + v / 4][v % 4] = start; });
  });
  const int8_t* w = t.weights;
  auto quad = [&](auto lane, const typename Product::Codes(&codes)[kPixels]) BITWRIGHT_INLINE {
    unrolled<kPanels>([&](auto panel) BITWRIGHT_INLINE {
      int8x16x4_t weights = vld1q_s8_x4(w + panel * packed.panel_bytes);
      unrolled<4>([&](auto v) BITWRIGHT_INLINE {
        unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
          auto& sum = acc[r * kPanels + panel][v];
          sum = Product::template add<lane>(sum, weights.val[v], codes[r]);
        });
      });
    });
    w += kQuadBytes;
  };
  for (const Run* run = packed.run_table(); run < packed.run_table() + packed.runs; ++run) {
    const uint8_t* x[kPixels];
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE { x[r] = t.x[r] + run->offset; });
    typename Product::Codes codes[kPixels];
    ptrdiff_t left = run->quads;
    for (; left >= 4; left -= 4) {
      unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE { codes[r] = Product::codes(vld1q_u8(x[r])), x[r] += 16; });
      unrolled<4>([&](auto lane) BITWRIGHT_INLINE { quad(lane, codes); });
    }
    for (; left > 0; --left) {
      unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
        uint32_t four;
        __builtin_memcpy(&four, x[r], 4);
        codes[r] = Product::codes(vreinterpretq_u8_u32(vdupq_n_u32(four))), x[r] += 4;
      });
      quad(Constant<0>(), codes);
    }
  }
  if constexpr (kPanels == 1)
    epilogue.store<kPixels>(acc, t.channel, t.second, t.out, t.count);
  else
    for (int i = 0; i < kPanels; ++i)
      epilogue.store<1>({{acc[i][0], acc[i][1], acc[i][2], acc[i][3]}}, t.channel + i * kPanel, t.second, t.out,
                        t.count - i * kPanel);
}

using RunTile = void (*)(const IgemmParams&, const PackedIgemm&, const Epilogue128&, const Tile&);

// What a piece has in common for all its tiles.
template <class Product>
Tile begun(const IgemmParams& p, const PackedIgemm& packed, const IgemmPiece& piece) {
  Tile t = {};
  t.channel = piece.group * packed.outs + piece.first_panel * kPanel;
  t.count = lanes_to_store(p, packed, piece, t.channel);
  t.weights = packed.panel(piece.group, piece.first_panel);
  auto* numbers = reinterpret_cast<const int32_t*>(reinterpret_cast<const uint8_t*>(&packed) + corrections(packed));
  t.correction = numbers + (piece.group * packed.panels + piece.first_panel) * kPanel;
  return t;
}

// Pieces by tiles of up to kMost pixels, of which tiles[i] has i + 1.
template <class Product, int kBlock, int kMost>
void run_tiles(const RunTile (&tiles)[kMost], const IgemmParams& p, const Buffers& at, int begin, int end) {
  const auto& packed = *static_cast<const PackedIgemm*>(p.weights);
  const Epilogue128 epilogue(p.epilogue);
  IgemmBlocks blocks = igemm_blocks(p, kBlock, 1);
  for (int i = begin; i < end; ++i) {
    IgemmPiece piece = igemm_piece(blocks.grid, packed.panels, i);
    Tile t = begun<Product>(p, packed, piece);
    int first = piece.pixel_block * blocks.pixels, all = p.out.h * p.out.w;
    int last = first + blocks.pixels < all ? first + blocks.pixels : all;
    const uint8_t* in = at.in + piece.group * packed.depth - p.window.pad_top * p.in.row - p.window.pad_left * p.in.pixel;
    for (int pixels; first < last; first += pixels) {
      pixels = last - first < kMost ? last - first : kMost;
      const uint8_t *x[kMost], *second[kMost];
      uint8_t* out[kMost];
      for (int r = 0; r < pixels; ++r) {
        int row = (first + r) / p.out.w, column = (first + r) % p.out.w;
        x[r] = in + row * p.window.stride_h * p.in.row + column * p.window.stride_w * p.in.pixel;
        second[r] = at.second + row * p.second.row + column * p.second.pixel;
        out[r] = at.out + row * p.out.row + column * p.out.pixel;
      }
      t.x = x, t.second = second, t.out = out;
      tiles[pixels - 1](p, packed, epilogue, t);
    }
  }
}

template <class Product>
void run(const IgemmParams& p, const Buffers& at, int begin, int end) {
  constexpr RunTile kTiles[kMostPixels] = {tile<Product, 1, 1>, tile<Product, 2, 1>, tile<Product, 3, 1>, tile<Product, 4, 1>,
                                           tile<Product, 5, 1>};
  run_tiles<Product, kPixelBlock>(kTiles, p, at, begin, end);
}

template <class Product>
void run_gemv(const IgemmParams& p, const Buffers& at, int begin, int end) {
  constexpr RunTile kTiles[kGemvPanels] = {tile<Product, 1, 1>, tile<Product, 1, 2>, tile<Product, 1, 3>, tile<Product, 1, 4>};
  const auto& packed = *static_cast<const PackedIgemm*>(p.weights);
  const Epilogue128 epilogue(p.epilogue);
  IgemmGrid grid = igemm_grid(p, 1, kGemvPanels);
  for (int i = begin; i < end; ++i) {
    IgemmPiece piece = igemm_piece(grid, packed.panels, i);
    const uint8_t* x = at.in + piece.group * packed.depth - p.window.pad_top * p.in.row - p.window.pad_left * p.in.pixel;
    Tile t = begun<Product>(p, packed, piece);
    t.x = &x, t.second = &at.second, t.out = &at.out;
    kTiles[piece.last_panel - piece.first_panel - 1](p, packed, epilogue, t);
  }
}

int units(const IgemmParams& p) { return igemm_blocks(p, kPixelBlock, 1).grid.count(); }

int gemv_units(const IgemmParams& p) { return igemm_grid(p, 1, kGemvPanels).count(); }

}  // namespace
}  // namespace bitwright
