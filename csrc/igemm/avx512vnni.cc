// VPDPBUSD over register tiles: up to 8 pixels x 64 channels, 24 accumulators. A quad of four input codes is broadcast
// and multiplied with a quad of each of 16 channels at once; nothing saturates.
#include <immintrin.h>

#include "../epilogue_avx512.h"
#include "../unrolled.h"
#include "packing.h"

namespace bitwright {
namespace {

constexpr int kMostPanels = 4;
constexpr int kPixelBlock = 48;

int most_pixels(int panels) { return panels == 4 ? 6 : 8; }

// Multiplies pixels, given by the first byte of each one's window, with panels.
template <int kPixels, int kPanels>
BITWRIGHT_INLINE inline void multiply(const PackedIgemm& packed, const uint8_t* const* pixels, const int8_t* w,
                                      const int32_t* starts, __m512i (&acc)[kPixels][kPanels]) {
  unrolled<kPanels>([&](auto v) BITWRIGHT_INLINE {
    __m512i start = _mm512_loadu_si512(starts + 16 * v);
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE { acc[r][v] = start; });
  });
  const Run *run = packed.run_table(), *end = run + packed.runs;
  do {
    const uint8_t* x[kPixels];
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE { x[r] = pixels[r] + run->offset; });
    ptrdiff_t quad = 0;
    do {
      __m512i weights[kPanels];
      unrolled<kPanels>([&](auto v) BITWRIGHT_INLINE {
        weights[v] = _mm512_load_si512(w + v * packed.panel_bytes);
        __asm__("" : "+v"(weights[v]));  // or gcc loads it again for each pixel, and loads are what bounds the loop then
      });
      unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
        int codes;
        __builtin_memcpy(&codes, x[r] + 4 * quad, 4);
        __m512i broadcast = _mm512_set1_epi32(codes);
        unrolled<kPanels>([&](auto v) BITWRIGHT_INLINE {
          __asm__("vpdpbusd %2, %1, %0" : "+v"(acc[r][v]) : "v"(broadcast), "v"(weights[v]));
        });
      });
      w += 4 * kPanel;
    } while (++quad < run->quads);
  } while (++run < end);
}

// Multiplies, and leaves the sums to others.
template <int kPixels, int kPanels>
void sums_tile(const PackedIgemm& packed, const uint8_t* const* pixels, const int8_t* w, const int32_t* starts, int32_t* sums) {
  __m512i acc[kPixels][kPanels];
  multiply<kPixels, kPanels>(packed, pixels, w, starts, acc);
  unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
    unrolled<kPanels>([&](auto v) BITWRIGHT_INLINE { _mm512_store_si512(sums + (r * kMostPanels + v) * kPanel, acc[r][v]); });
  });
}

// Multiplies, and makes codes of the sums at once.
template <int kPixels, int kPanels, Kind kKind>
void codes_tile(const PackedIgemm& packed, const uint8_t* const* pixels, const int8_t* w, const int32_t* starts,
                const void* finish, const Row512* rows) {
  using Codes = Codes512<kPanels>;
  __m512i acc[kPixels][kPanels];
  multiply<kPixels, kPanels>(packed, pixels, w, starts, acc);
  unrolled<(kPixels + Codes::kTogether - 1) / Codes::kTogether>([&](auto i) BITWRIGHT_INLINE {
    constexpr int kFirst = i * Codes::kTogether;
    static_cast<const Codes*>(finish)->template store<kKind>(rows + kFirst, [&](auto r, auto v) BITWRIGHT_INLINE {
      return acc[kFirst + r < kPixels ? kFirst + r : kPixels - 1][v];
    });
  });
}

using SumsTile = void (*)(const PackedIgemm&, const uint8_t* const*, const int8_t*, const int32_t*, int32_t*);
using CodesTile = void (*)(const PackedIgemm&, const uint8_t* const*, const int8_t*, const int32_t*, const void*, const Row512*);

template <int kPixels, int kPanels>
constexpr SumsTile sums_tile_of = sums_tile<kPixels, kPanels>;
template <int kPixels, int kPanels>
constexpr CodesTile plain_tile_of = codes_tile<kPixels, kPanels, Kind::plain>;
template <int kPixels, int kPanels>
constexpr CodesTile table_tile_of = codes_tile<kPixels, kPanels, Kind::table>;

// By panels, then pixels.
#define TILES(of)                                                                    \
  {                                                                                  \
    {of<1, 1>, of<2, 1>, of<3, 1>, of<4, 1>, of<5, 1>, of<6, 1>, of<7, 1>, of<8, 1>}, \
    {of<1, 2>, of<2, 2>, of<3, 2>, of<4, 2>, of<5, 2>, of<6, 2>, of<7, 2>, of<8, 2>}, \
    {of<1, 3>, of<2, 3>, of<3, 3>, of<4, 3>, of<5, 3>, of<6, 3>, of<7, 3>, of<8, 3>}, \
    {of<1, 4>, of<2, 4>, of<3, 4>, of<4, 4>, of<5, 4>, of<6, 4>, nullptr, nullptr},   \
  }
constexpr SumsTile kSumsTiles[4][8] = TILES(sums_tile_of);
constexpr CodesTile kPlainTiles[4][8] = TILES(plain_tile_of);
constexpr CodesTile kTableTiles[4][8] = TILES(table_tile_of);
#undef TILES

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
  int lanes = lanes_to_store(p, packed, piece, channel);
  auto tiles = [&](auto multiply) {
    for (int r = 0; r < count; r += step) multiply(r, (count - r < step ? count - r : step) - 1);
  };
  auto codes_by = [&]<int kPanels>(Constant<kPanels>, const CodesTile* by_pixels) {
    const Codes512<kPanels> codes(p.epilogue, channel, lanes);
    for (int i = count; i % Codes512<kPanels>::kTogether != 0; ++i) rows[i] = rows[count - 1];
    tiles([&](int r, int pixels) { by_pixels[pixels](packed, windows + r, weights, p.start + channel, &codes, rows + r); });
  };
  if (Kind kind = kind_of(p.epilogue); kind != Kind::any) {
    const CodesTile* by_pixels = (kind == Kind::plain ? kPlainTiles : kTableTiles)[panels - 1];
    if (panels == 1) return codes_by(Constant<1>(), by_pixels);
    if (panels == 2) return codes_by(Constant<2>(), by_pixels);
    if (panels == 3) return codes_by(Constant<3>(), by_pixels);
    return codes_by(Constant<4>(), by_pixels);
  }
  tiles([&](int r, int pixels) { kSumsTiles[panels - 1][pixels](packed, windows + r, weights, p.start + channel, sums[r]); });
  kFinishRows[panels - 1](p.epilogue, channel, lanes, rows, count);
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
