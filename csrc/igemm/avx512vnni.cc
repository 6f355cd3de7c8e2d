// VPDPBUSD over register tiles: up to 8 pixels x 64 channels, 24 accumulators. A quad of four input codes is broadcast
// and multiplied with a quad of each of 16 channels at once; nothing saturates.
#include <immintrin.h>

#include "../epilogue_avx512.h"
#include "packing.h"

namespace bitwright {
namespace {

constexpr int kMostPanels = 4;
constexpr int kPixelBlock = 48;

int most_pixels(int panels) { return panels == 4 ? 6 : 8; }

// One tile's operands: the first byte of each pixel's window, and what becomes of its sums.
struct Tile {
  const uint8_t* x[8];
  Row512 rows[8];
  const int8_t* weights;
  int channel, count;  // the first output channel, and how many lanes to store
};

template <int kPixels, int kPanels>
void tile(const IgemmParams& p, const PackedIgemm& packed, Tile& t, int32_t* sums) {
  __m512i acc[kPixels][kPanels];
  for (int v = 0; v < kPanels; ++v) {
    __m512i start = _mm512_loadu_si512(p.start + t.channel + 16 * v);
    for (int r = 0; r < kPixels; ++r) acc[r][v] = start;
  }
  const int8_t* w = t.weights;
  const Run* runs = packed.run_table();
  for (int i = 0; i < packed.runs; ++i) {
    const uint8_t* x[kPixels];
    for (int r = 0; r < kPixels; ++r) x[r] = t.x[r] + runs[i].offset;
    for (ptrdiff_t quad = 0; quad < runs[i].quads; ++quad, w += 4 * kPanel) {
      __m512i weights[kPanels];
      for (int v = 0; v < kPanels; ++v) weights[v] = _mm512_load_si512(w + v * packed.panel_bytes);
      for (int r = 0; r < kPixels; ++r) {
        int codes;
        __builtin_memcpy(&codes, x[r] + 4 * quad, 4);
        __m512i broadcast = _mm512_set1_epi32(codes);
        for (int v = 0; v < kPanels; ++v) acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], broadcast, weights[v]);
      }
    }
  }
  for (int r = 0; r < kPixels; ++r)
    for (int v = 0; v < kPanels; ++v) _mm512_store_si512(sums + (r * kMostPanels + v) * kPanel, acc[r][v]);
  finish_rows<kPanels>(p.epilogue, t.channel, t.count, t.rows, kPixels);
}

using TileFunction = void (*)(const IgemmParams&, const PackedIgemm&, Tile&, int32_t*);

// By panels, then pixels.
constexpr TileFunction kTiles[4][8] = {
    {tile<1, 1>, tile<2, 1>, tile<3, 1>, tile<4, 1>, tile<5, 1>, tile<6, 1>, tile<7, 1>, tile<8, 1>},
    {tile<1, 2>, tile<2, 2>, tile<3, 2>, tile<4, 2>, tile<5, 2>, tile<6, 2>, tile<7, 2>, tile<8, 2>},
    {tile<1, 3>, tile<2, 3>, tile<3, 3>, tile<4, 3>, tile<5, 3>, tile<6, 3>, tile<7, 3>, tile<8, 3>},
    {tile<1, 4>, tile<2, 4>, tile<3, 4>, tile<4, 4>, tile<5, 4>, tile<6, 4>, nullptr, nullptr},
};

IgemmGrid grid_of(const IgemmParams& p) {
  return igemm_grid(p, (p.out.h * p.out.w + kPixelBlock - 1) / kPixelBlock, kMostPanels);
}

int units(const IgemmParams& p) { return grid_of(p).count(); }

void run_piece(const IgemmParams& p, const PackedIgemm& packed, const Buffers& at, const IgemmPiece& piece) {
  int panels = piece.last_panel - piece.first_panel, step = most_pixels(panels);
  int first = piece.pixel_block * kPixelBlock, all = p.out.h * p.out.w;
  int last = first + kPixelBlock < all ? first + kPixelBlock : all;
  const uint8_t* in = at.in + piece.group * packed.depth - p.window.pad_top * p.in.row - p.window.pad_left * p.in.pixel;
  alignas(64) int32_t sums[8 * kMostPanels * kPanel];
  Tile t;
  t.channel = piece.group * packed.outs + piece.first_panel * kPanel;
  t.count = lanes_to_store(p, packed, piece, t.channel);
  t.weights = packed.panel(piece.group, piece.first_panel);
  int y = first / p.out.w, x = first % p.out.w;
  while (first < last) {
    int pixels = last - first < step ? last - first : step;
    for (int r = 0; r < pixels; ++r) {
      t.x[r] = in + y * p.window.stride_h * p.in.row + x * p.window.stride_w * p.in.pixel;
      t.rows[r] = {sums + r * kMostPanels * kPanel, at.second + y * p.second.row + x * p.second.pixel,
                   at.out + y * p.out.row + x * p.out.pixel};
      if (++x == p.out.w) x = 0, ++y;
    }
    kTiles[panels - 1][pixels - 1](p, packed, t, sums);
    first += pixels;
  }
}

void run(const IgemmParams& p, const Buffers& at, int begin, int end) {
  const auto& packed = *static_cast<const PackedIgemm*>(p.weights);
  IgemmGrid grid = grid_of(p);
  for (int i = begin; i < end; ++i) run_piece(p, packed, at, igemm_piece(grid, packed.panels, i));
}

}  // namespace

const KernelRow<IgemmParams> igemm_avx512vnni = {
    "igemm, register tiles", Isa::avx512vnni, nullptr, units, packed_quads_bytes, pack_quads, nullptr, run};

}  // namespace bitwright
