// VPDPBUSD over register tiles: up to 8 pixels x 64 channels, 24 accumulators. A quad of four input codes is broadcast
// and multiplied with a quad of each of 16 channels at once; nothing saturates.
#pragma once

#include <immintrin.h>

#include "kernels/epilogue_avx512.h"
#include "kernels/igemm/packing.h"
#include "kernels/unrolled.h"

namespace bitwright {

using SumsTile = void (*)(const PackedIgemm&, const uint8_t* const*, const int8_t*, const int32_t*, int32_t*);
using CodesTile = void (*)(const PackedIgemm&, const uint8_t* const*, const int8_t*, const int32_t*, const void*,
                           const Pixels512&);
using WovenTiles = void (*)(const PackedIgemm&, const uint8_t* const*, const int8_t*, const int32_t*, const void*, Pixels512,
                            int);

template <class Tile>
struct Tiles {
  Tile by[2][4][8];  // by half, by panels, then pixels; each less 1
};

// The functions that multiply and finish with one kind of epilogue.
struct Finish {
  Tiles<CodesTile> tiles;
  WovenTiles woven[2][4];  // by half, by panels less 1
};

// What looks nothing up needs no VBMI, so it is compiled once, in avx512vnni.cc.
extern const Tiles<SumsTile> igemm_sums_avx512;
extern const Finish igemm_plain_avx512, igemm_residual_avx512;

namespace {

constexpr int kMostPanels = 4;
// Large blocks cost less to set up; smaller ones leave each thread something to do.
constexpr int kPixelBlock = 112, kSmallPixelBlock = 48, kManyPieces = 16;
// Small tiles read the weights again every 2 to 8 pixels, so the block of panels has to stay in L1.
constexpr int kMostWovenQuads = 160;

#ifdef BITWRIGHT_FEW_TILES  // for sanitizers: the same code, in as few and small tiles as a compiler gets through in time
constexpr int most_pixels(int panels) { return panels == 1 ? 4 : 2; }
constexpr int kWovenPixels[] = {4, 2, 2, 2};  // by panels, less 1
#else
constexpr int most_pixels(int panels) { return panels == 4 ? 6 : 8; }
constexpr int kWovenPixels[] = {8, 4, 3, 2};  // by panels, less 1
#endif

template <int kPixels, int kPanels>
BITWRIGHT_INLINE inline void begin(const int32_t* starts, __m512i (&acc)[kPixels][kPanels]) {
  unrolled<kPanels>([&](auto v) BITWRIGHT_INLINE {
    __m512i start = _mm512_loadu_si512(starts + 16 * v);
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE { acc[r][v] = start; });
  });
}

// Adds four products to each sum; with kHalf in the lower 8 channels alone. In assembly, because gcc 12 spills and reloads each
// accumulator around the intrinsic.
template <bool kHalf>
BITWRIGHT_INLINE inline void multiply_add(__m512i& acc, __m512i codes, __m512i weights) {
  if constexpr (kHalf)
    __asm__("vpdpbusd %t2, %t1, %t0" : "+v"(acc) : "v"(codes), "v"(weights));
  else
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(weights));
}

// Adds a quad of each pixel times the same of the panels; of the last one only 8 channels where it has no more (kHalf), as 256
// bits are multiplied in half the time.
template <bool kHalf, int kPixels, int kPanels>
BITWRIGHT_INLINE inline void add_quad(const uint8_t* const (&x)[kPixels], ptrdiff_t quad, const int8_t* w,
                                      ptrdiff_t panel_bytes, __m512i (&acc)[kPixels][kPanels]) {
  __m512i weights[kPanels];
  unrolled<kPanels>([&](auto v) BITWRIGHT_INLINE {
    weights[v] = _mm512_load_si512(w + v * panel_bytes);
    __asm__("" : "+v"(weights[v]));  // or gcc loads it again for each pixel, and loads are what bounds the loop then
  });
  unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
    int codes;
    __builtin_memcpy(&codes, x[r] + 4 * quad, 4);
    __m512i broadcast = _mm512_set1_epi32(codes);
    unrolled<kPanels>([&](auto v)
                          BITWRIGHT_INLINE { multiply_add<kHalf && v == kPanels - 1>(acc[r][v], broadcast, weights[v]); });
  });
}

// Multiplies pixels, given by the first byte of each one's window, with panels; `first` is called with the number of each of
// the first kFirst quads of the first run, which has as many.
template <bool kHalf, int kFirst = 0, int kPixels, int kPanels, class First>
BITWRIGHT_INLINE inline void multiply(const PackedIgemm& packed, const uint8_t* const* pixels, const int8_t* w,
                                      __m512i (&acc)[kPixels][kPanels], const First& first) {
  const Run *run = packed.run_table(), *end = run + packed.runs;
  const uint8_t* x[kPixels];
  unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE { x[r] = pixels[r] + run->offset; });
  unrolled<kFirst>([&](auto quad) BITWRIGHT_INLINE {
    add_quad<kHalf>(x, quad, w, packed.panel_bytes, acc);
    w += 4 * kPanel;
    first(quad);
  });
  ptrdiff_t quad = kFirst;
  while (true) {
    for (; quad < run->quads; ++quad, w += 4 * kPanel) add_quad<kHalf>(x, quad, w, packed.panel_bytes, acc);
    if (++run == end) return;
    unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE { x[r] = pixels[r] + run->offset; });
    quad = 0;
  }
}

template <bool kHalf, int kPixels, int kPanels>
BITWRIGHT_INLINE inline void multiply(const PackedIgemm& packed, const uint8_t* const* pixels, const int8_t* w,
                                      __m512i (&acc)[kPixels][kPanels]) {
  multiply<kHalf>(packed, pixels, w, acc, [](auto) BITWRIGHT_INLINE {});
}

// Multiplies a tile and stores its sums, which finish_rows turns into codes.
template <int kPixels, int kPanels, bool kHalf>
void sums_tile(const PackedIgemm& packed, const uint8_t* const* pixels, const int8_t* w, const int32_t* starts, int32_t* sums) {
  __m512i acc[kPixels][kPanels];
  begin(starts, acc);
  multiply<kHalf>(packed, pixels, w, acc);
  unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
    unrolled<kPanels>([&](auto v) BITWRIGHT_INLINE { _mm512_store_si512(sums + (r * kMostPanels + v) * kPanel, acc[r][v]); });
  });
}

template <int kPixels, int kPanels>
constexpr int kPacks = (kPixels + Codes512<kPanels>::kTogether - 1) / Codes512<kPanels>::kTogether;

// Makes codes of pack kPack of a tile's pixels, as many as are packed together.
template <Kind kKind, int kPack, int kPixels, int kPanels>
BITWRIGHT_INLINE inline void finish(const Codes512<kPanels>& codes, const Pixels512& to,
                                    const __m512i (&acc)[kPixels][kPanels]) {
  constexpr int kFirst = kPack * Codes512<kPanels>::kTogether;
  codes.template store<kKind>(to.from(kFirst), [&](auto r, auto v) BITWRIGHT_INLINE {
    return acc[kFirst + r < kPixels ? kFirst + r : kPixels - 1][v];
  });
}

// Multiplies a tile and makes codes of its sums at once.
template <int kPixels, int kPanels, bool kHalf, Kind kKind>
void codes_tile(const PackedIgemm& packed, const uint8_t* const* pixels, const int8_t* w, const int32_t* starts,
                const void* codes, const Pixels512& to) {
  __m512i acc[kPixels][kPanels];
  begin(starts, acc);
  multiply<kHalf>(packed, pixels, w, acc);
  unrolled<kPacks<kPixels, kPanels>>(
      [&](auto pack) BITWRIGHT_INLINE { finish<kKind, pack>(*static_cast<const Codes512<kPanels>*>(codes), to, acc); });
}

// Several small tiles, each finished between the quads of the next: an out-of-order processor does not look far enough ahead to
// multiply one tile while it finishes another. With two packs of pixels to finish (kCount = 2) and five quads a pixel:
//
//   time ->      tile 0          tile 1                  tile 2
//   multiply     q0 q1 q2 q3 q4  q0    q1    q2 q3 q4    q0    q1    q2 q3 q4
//   finish                          f0    f1                f0    f1             f0 f1
//                                   of tile 0               of tile 1            of tile 2
//
// `acc` holds the sums of the tile that is multiplied, `before` those of the tile that is finished. Both are in registers, so a
// tile has about half of the pixels that it could have otherwise (kWovenPixels).
template <int kPixels, int kPanels, bool kHalf, Kind kKind>
void woven_tiles(const PackedIgemm& packed, const uint8_t* const* pixels, const int8_t* w, const int32_t* starts,
                 const void* finish_by, Pixels512 to, int tiles) {
  const auto codes = *static_cast<const Codes512<kPanels>*>(finish_by);
  constexpr int kCount = kPacks<kPixels, kPanels>;
  __m512i acc[kPixels][kPanels], before[kPixels][kPanels];
  begin(starts, acc);
  multiply<kHalf>(packed, pixels, w, acc);
  for (; tiles > 1; --tiles, to = to.from(kPixels)) {
    pixels += kPixels;
    unrolled<kPixels>([&](auto r)
                          BITWRIGHT_INLINE { unrolled<kPanels>([&](auto v) BITWRIGHT_INLINE { before[r][v] = acc[r][v]; }); });
    begin(starts, acc);
    multiply<kHalf, kCount>(packed, pixels, w, acc,
                            [&](auto pack) BITWRIGHT_INLINE { finish<kKind, pack>(codes, to, before); });
  }
  unrolled<kCount>([&](auto pack) BITWRIGHT_INLINE { finish<kKind, pack>(codes, to, acc); });
}

// With kWhole those of as many pixels as there can be alone; what is left of a block then goes by its sums.
template <class Tile, bool kWhole, class Of>
constexpr Tiles<Tile> tiles_of(const Of& of) {
  Tiles<Tile> tiles = {};
  unrolled<2>([&](auto half) {
    unrolled<4>([&](auto panels) {
      unrolled<8>([&](auto pixels) {
        // Only whole tiles have code of their own for half a panel: what is left of a block is soon done.
        constexpr int kMost = most_pixels(panels + 1);
        if constexpr (pixels < kMost && (!kWhole || pixels + 1 == kMost))
          tiles.by[half][panels][pixels] =
              of(Constant<pixels + 1>(), Constant<panels + 1>(), Constant<half && pixels + 1 == kMost>());
      });
    });
  });
  return tiles;
}

template <Kind kKind>
constexpr Finish finish_of() {
  Finish finish = {};
  finish.tiles = tiles_of<CodesTile, kKind != Kind::plain>(
      [](auto pixels, auto panels, auto half) { return codes_tile<pixels, panels, half == 1, kKind>; });
  unrolled<2>([&](auto half) {
    unrolled<4>([&](auto i) { finish.woven[half][i] = woven_tiles<kWovenPixels[i], i + 1, half == 1, kKind>; });
  });
  return finish;
}

constexpr Finish kTable = finish_of<Kind::table>();

const Finish& finish_by_kind(Kind kind) {
  return kind == Kind::table ? kTable : kind == Kind::residual ? igemm_residual_avx512 : igemm_plain_avx512;
}

IgemmBlocks blocks_of(const IgemmParams& p) {
  IgemmBlocks large = igemm_blocks(p, kPixelBlock, kMostPanels);
  return p.strip || large.grid.count() >= kManyPieces ? large : igemm_blocks(p, kSmallPixelBlock, kMostPanels);
}

int units(const IgemmParams& p) { return blocks_of(p).grid.count(); }

constexpr int kAtOnce = 8;

// Writes lists of addresses of pixels at equal distances, `bytes` apart.
class Addresses {
 public:
  explicit Addresses(ptrdiff_t bytes) {
    const __m512i order = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    first_ = _mm512_mullo_epi64(order, _mm512_set1_epi64(bytes));
    next_ = _mm512_set1_epi64(kAtOnce * bytes);
  }

  // Fills [to, end), and writes up to kAtOnce - 1 addresses beyond it.
  template <class Pointer>
  void fill(Pointer* to, Pointer* end, Pointer first) const {
    __m512i at = _mm512_add_epi64(first_, _mm512_set1_epi64(reinterpret_cast<intptr_t>(first)));
    for (; to < end; to += kAtOnce, at = _mm512_add_epi64(at, next_)) _mm512_storeu_si512(to, at);
  }

 private:
  __m512i first_, next_;
};

// Panels of `count` pixels, whose codes are made from sums in memory.
struct Sums512 {
  const IgemmParams& p;
  const PackedIgemm& packed;
  const int8_t* weights;
  int channel, lanes, panels;
  bool half;

  __attribute__((noinline)) void run(const uint8_t* const* windows, const Pixels512& to, int count) const {
    alignas(64) int32_t sums[kPixelBlock][kMostPanels * kPanel];
    Row512 rows[kPixelBlock];
    int most = most_pixels(panels);
    for (int r = 0; r < count; ++r) rows[r] = {sums[r], p.epilogue.residual ? to.second[r] : nullptr, to.out[r]};
    for (int r = 0, pixels; r < count; r += pixels) {
      pixels = count - r < most ? count - r : most;
      igemm_sums_avx512.by[half][panels - 1][pixels - 1](packed, windows + r, weights, p.start + channel, sums[r]);
    }
    kFinishRows[panels - 1](p.epilogue, channel, lanes, rows, count);
  }
};

void run_piece(const IgemmParams& p, const PackedIgemm& packed, const Buffers& at, const IgemmPiece& piece, int pixels) {
  int panels = piece.last_panel - piece.first_panel, most = most_pixels(panels);
  int first = piece.pixel_block * pixels, all = p.out.h * p.out.w;
  int last = first + pixels < all ? first + pixels : all;
  const uint8_t* in = at.in + piece.group * packed.depth - p.window.pad_top * p.in.row - p.window.pad_left * p.in.pixel;
  const Addresses ins(p.window.stride_w * p.in.pixel), seconds(p.second.pixel), outs(p.out.pixel);
  const uint8_t* windows[kPixelBlock + kAtOnce];
  const uint8_t* second[kPixelBlock + kAtOnce];
  uint8_t* out[kPixelBlock + kAtOnce];
  int y = first / p.out.w, x = first % p.out.w, count = last - first;
  for (int r = 0, end; r < count; r = end, x = 0, ++y) {
    end = r + p.out.w - x < count ? r + p.out.w - x : count;
    ins.fill(windows + r, windows + end, in + y * p.window.stride_h * p.in.row + x * p.window.stride_w * p.in.pixel);
    outs.fill(out + r, out + end, at.out + y * p.out.row + x * p.out.pixel);
    if (p.epilogue.residual) seconds.fill(second + r, second + end, at.second + y * p.second.row + x * p.second.pixel);
  }
  int channel = piece.group * packed.outs + piece.first_panel * kPanel;
  const int8_t* weights = packed.panel(piece.group, piece.first_panel);
  int lanes = lanes_to_store(p, packed, piece, channel);
  const int32_t* starts = p.start + channel;
  bool half = piece.last_panel == packed.panels && (packed.outs - 1) % kPanel < kPanel / 2;
  Kind kind = kind_of(p.epilogue);
  const Sums512 by_sums{p, packed, weights, channel, lanes, panels, half};
  if (kind == Kind::any) return by_sums.run(windows, {second, out}, count);
  auto finish_by = [&]<int kPanels>(Constant<kPanels>) {
    const Codes512<kPanels> codes(p.epilogue, channel, lanes);
    for (int i = count; i % Codes512<kPanels>::kTogether != 0; ++i) {
      out[i] = out[count - 1];
      if (p.epilogue.residual) second[i] = second[count - 1];
    }
    const Pixels512 to = {second, out};
    const Finish& finish = finish_by_kind(kind);
    constexpr int kPixels = kWovenPixels[kPanels - 1];
    int r = 0;
    if (count >= kPixels && packed.quads <= kMostWovenQuads && packed.run_table()->quads >= kPacks<kPixels, kPanels>) {
      finish.woven[half][kPanels - 1](packed, windows, weights, starts, &codes, to, count / kPixels);
      r = count / kPixels * kPixels;
    }
    for (int pixels; r < count; r += pixels) {
      pixels = count - r < most ? count - r : most;
      CodesTile tile = finish.tiles.by[half][kPanels - 1][pixels - 1];
      if (!tile) return by_sums.run(windows + r, to.from(r), pixels);
      tile(packed, windows + r, weights, starts, &codes, to.from(r));
    }
  };
  if (panels == 1) return finish_by(Constant<1>());
  if (panels == 2) return finish_by(Constant<2>());
  if (panels == 3) return finish_by(Constant<3>());
  return finish_by(Constant<4>());
}

void run(const IgemmParams& p, const Buffers& at, int begin, int end) {
  const auto& packed = *static_cast<const PackedIgemm*>(p.weights);
  IgemmBlocks blocks = blocks_of(p);
  for (int i = begin; i < end; ++i) run_piece(p, packed, at, igemm_piece(blocks.grid, packed.panels, i), blocks.pixels);
}

}  // namespace
}  // namespace bitwright
