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

// Multiplies pixels, given by the first byte of each one's window, with panels, and stores the sums.
template <int kPixels, int kPanels>
void tile(const PackedIgemm& packed, const uint8_t* const* pixels, const int8_t* w, const int32_t* starts, int32_t* sums) {
  __m512i acc[kPixels][kPanels];
#pragma GCC unroll 8
  for (int v = 0; v < kPanels; ++v) {
    __m512i start = _mm512_loadu_si512(starts + 16 * v);
#pragma GCC unroll 8
    for (int r = 0; r < kPixels; ++r) acc[r][v] = start;
  }
  const Run* runs = packed.run_table();
  for (int i = 0; i < packed.runs; ++i) {
    const uint8_t* x[kPixels];
#pragma GCC unroll 8
    for (int r = 0; r < kPixels; ++r) x[r] = pixels[r] + runs[i].offset;
    for (ptrdiff_t quad = 0; quad < runs[i].quads; ++quad, w += 4 * kPanel) {
      __m512i weights[kPanels];
#pragma GCC unroll 8
      for (int v = 0; v < kPanels; ++v) {
        weights[v] = _mm512_load_si512(w + v * packed.panel_bytes);
        __asm__("" : "+v"(weights[v]));  // or gcc loads it again for each pixel, and loads are what bounds the loop then
      }
#pragma GCC unroll 8
      for (int r = 0; r < kPixels; ++r) {
        int codes;
        __builtin_memcpy(&codes, x[r] + 4 * quad, 4);
        __m512i broadcast = _mm512_set1_epi32(codes);
#pragma GCC unroll 8
        for (int v = 0; v < kPanels; ++v) acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], broadcast, weights[v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kPixels; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kPanels; ++v) _mm512_store_si512(sums + (r * kMostPanels + v) * kPanel, acc[r][v]);
}

using TileFunction = void (*)(const PackedIgemm&, const uint8_t* const*, const int8_t*, const int32_t*, int32_t*);

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
  alignas(64) int32_t sums[kPixelBlock][kMostPanels * kPanel];
  const uint8_t* windows[kPixelBlock];
  Row512 rows[kPixelBlock];
  int y = first / p.out.w, x = first % p.out.w, count = last - first;
  for (int r = 0; r < count; x = 0, ++y) {
    const uint8_t* window = in + y * p.window.stride_h * p.in.row + x * p.window.stride_w * p.in.pixel;
    Row512 row = {nullptr, at.second + y * p.second.row + x * p.second.pixel, at.out + y * p.out.row + x * p.out.pixel};
    for (; r < count && x < p.out.w; ++r, ++x) {
      windows[r] = window, rows[r] = {sums[r], row.second, row.out};
      window += p.window.stride_w * p.in.pixel, row.second += p.second.pixel, row.out += p.out.pixel;
    }
  }
  int channel = piece.group * packed.outs + piece.first_panel * kPanel;
  const int8_t* weights = packed.panel(piece.group, piece.first_panel);
  for (int r = 0; r < count; r += step) {
    int pixels = count - r < step ? count - r : step;
    kTiles[panels - 1][pixels - 1](packed, windows + r, weights, p.start + channel, sums[r]);
  }
  kFinishRows[panels - 1](p.epilogue, channel, lanes_to_store(p, packed, piece, channel), rows, count);
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
