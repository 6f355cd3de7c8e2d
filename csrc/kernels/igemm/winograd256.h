// Windows of 3x3 by Winograd's F(2x2, 3x3), exactly. 16 products make 4 outputs, where the windows have 36:
//
//   Y = A' [(G g G') * (B' d B)] A    d: 4x4 codes, g: 3x3 weights, *: element by element, summed over input channels
//
// B and A hold only 0, 1 and -1. G has halves, so it is taken twice: 2G g 2G' are integers of at most 9 * 127, B' d B of at
// most 4 * 255, and the sums are four times those of the windows, a division without remainder (see `pays_by_winograd`).
// Numbers of 16 bits are multiplied by VPMADDWD, which AVX2 has at half the rate of bytes that may saturate.
//
// A piece of work is a block of tiles, each of 2x2 outputs, and a block of panels: scratch holds what the codes become,
// [16][tile][channel], and the sums of one panel, [16][tile][16]. Packed are the weights as they are multiplied, unless one
// block holds all tiles: then a panel of them is made when it is needed, which takes less time than to read 32 bytes for 9.
#pragma once

#include "kernels/igemm/tiles256.h"
#include "kernels/igemm/winograd_tile.h"

namespace bitwright {
namespace {

constexpr int kTileBlock = 18;
constexpr int kSumsBytes = kPlaces * kTileBlock * kPanel * 4;
constexpr int kPanelsInL2 = 1024;  // a panel takes 512 bytes a channel: of so many channels half a megabyte

struct Winograd {
  int depth;  // channels, of whole vectors
  int panels, across, tiles;
  IgemmBlocks blocks;
  bool at_once;  // one block holds all tiles

  explicit Winograd(const IgemmParams& p) {
    depth = (p.in.c + 15) / 16 * 16, panels = (p.out.c + kPanel - 1) / kPanel;
    across = (p.out.w + 1) / 2, tiles = across * ((p.out.h + 1) / 2);
    int count = (tiles + kTileBlock - 1) / kTileBlock;
    blocks = {igemm_grid(p, count, depth < kPanelsInL2 ? kPanelsInL2 / depth : 1), (tiles + count - 1) / count};
    at_once = count == 1;
  }

  // Between places: of codes, of weights. A cache line more than a power of two, or 16 stores would share a set.
  size_t place_bytes() const { return static_cast<size_t>(blocks.pixels) * depth * 2 + 64; }
  size_t weights_place_bytes() const { return static_cast<size_t>(depth) * kPanel * 2 + 64; }
  // Of a panel: as it came, [pair of channels][tap][channel in panel][2], and as it is multiplied, [place][pair][channel][2].
  size_t plain_bytes() const { return static_cast<size_t>(depth) * 9 * kPanel; }
  size_t panel_bytes() const { return kPlaces * weights_place_bytes(); }
};

int winograd_units(const IgemmParams& p) { return Winograd(p).blocks.grid.count(); }

size_t winograd_packed_bytes(const IgemmParams& p) {
  Winograd w(p);  // behind what is made while packing stands what it is made from, one panel
  return w.at_once ? w.panels * w.plain_bytes() : w.panels * w.panel_bytes() + w.plain_bytes();
}

size_t winograd_scratch_bytes(const IgemmParams& p) {
  Winograd w(p);
  return kSumsBytes + kPlaces * w.place_bytes() + (w.at_once ? 4 * w.weights_place_bytes() : 0);
}

// 2G along one axis: of three, one of four.
template <int kPlace>
BITWRIGHT_INLINE inline __m256i weights_along(const __m256i (&g)[3]) {
  if constexpr (kPlace == 0 || kPlace == 3) return _mm256_add_epi16(g[2 * (kPlace / 3)], g[2 * (kPlace / 3)]);
  __m256i ends = _mm256_add_epi16(g[0], g[2]);
  return kPlace == 1 ? _mm256_add_epi16(ends, g[1]) : _mm256_sub_epi16(ends, g[1]);
}

// 2G g 2G' of a panel, four places of a row. (All at once would be 16 streams to write.)
template <int kRow>
void transform_weights(const int8_t* from, int depth, uint8_t* to, size_t place_bytes) {
  for (int pair = 0; pair < depth / 2; ++pair, from += 18 * kPanel)
    unrolled<2>([&](auto half) BITWRIGHT_INLINE {
      __m256i row[3];
      unrolled<3>([&](auto x) BITWRIGHT_INLINE {
        __m256i g[3];
        unrolled<3>([&](auto y) BITWRIGHT_INLINE {
          const int8_t* tap = from + (3 * y + x) * 2 * kPanel + half * kPanel;
          g[y] = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tap)));
        });
        row[x] = weights_along<kRow>(g);
      });
      unrolled<4>([&](auto x) BITWRIGHT_INLINE {
        auto* place = reinterpret_cast<__m256i*>(to + x * place_bytes + pair * 4 * kPanel + 32 * half);
        _mm256_store_si256(place, weights_along<x>(row));
      });
    });
}

constexpr void (*kTransformWeights[4])(const int8_t*, int, uint8_t*, size_t) = {transform_weights<0>, transform_weights<1>,
                                                                                transform_weights<2>, transform_weights<3>};

void pack_winograd(const IgemmParams& p, const int8_t* weights, void* packed) {
  Winograd shape(p);
  auto* to = static_cast<uint8_t*>(packed);
  uint8_t* plain = shape.at_once ? to : to + shape.panels * shape.panel_bytes();
  for (int panel = 0; panel < shape.panels; ++panel) {
    __builtin_memset(plain, 0, shape.plain_bytes());
    for (int o = panel * kPanel; o < p.out.c && o < (panel + 1) * kPanel; ++o)
      for (int i = 0; i < p.in.c; ++i)
        for (int tap = 0; tap < 9; ++tap)
          plain[((i / 2 * 9 + tap) * kPanel + o % kPanel) * 2 + i % 2] = static_cast<uint8_t>(*weights++);
    if (shape.at_once)
      plain += shape.plain_bytes();
    else
      for (auto transform : kTransformWeights) {
        transform(reinterpret_cast<const int8_t*>(plain), shape.depth, to, shape.weights_place_bytes());
        to += 4 * shape.weights_place_bytes();
      }
  }
}

BITWRIGHT_INLINE inline void codes_along(__m256i (&d)[4]) {
  __m256i first = _mm256_sub_epi16(d[0], d[2]), last = _mm256_sub_epi16(d[1], d[3]);
  __m256i sum = _mm256_add_epi16(d[1], d[2]);
  d[2] = _mm256_sub_epi16(d[2], d[1]), d[0] = first, d[1] = sum, d[3] = last;
}

// B' d B of a tile's codes.
void transform_codes(const WinogradTile& tile, int depth, uint8_t* to, size_t place_bytes) {
  for (int c = 0; c < depth; c += 16) {
    __m256i d[4][4];  // by column, row
    unrolled<4>([&](auto x) BITWRIGHT_INLINE {
      unrolled<4>([&](auto y) BITWRIGHT_INLINE {
        const uint8_t* codes = tile.rows[y] + tile.columns[x] + c;
        d[x][y] = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
      });
      codes_along(d[x]);
    });
    unrolled<4>([&](auto y) BITWRIGHT_INLINE {
      __m256i row[4] = {d[0][y], d[1][y], d[2][y], d[3][y]};
      codes_along(row);
      unrolled<4>([&](auto x) BITWRIGHT_INLINE {
        _mm256_store_si256(reinterpret_cast<__m256i*>(to + (4 * y + x) * place_bytes + 2 * c), row[x]);
      });
    });
  }
}

// The sums of a few tiles at one place.
template <class Product, int kTiles>
void multiply(const uint8_t* codes, int depth, const int8_t* weights, ptrdiff_t ahead, uint8_t* sums) {
  __m256i acc[kTiles][2];
  const uint8_t* x[kTiles];
  unrolled<kTiles>([&](auto t)
                       BITWRIGHT_INLINE { acc[t][0] = acc[t][1] = _mm256_setzero_si256(), x[t] = codes + t * 2 * depth; });
  for (ptrdiff_t quad = 0; quad < depth / 4; ++quad, weights += Product::kQuadBytes) {
    _mm_prefetch(reinterpret_cast<const char*>(weights + ahead), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(weights + ahead + 64), _MM_HINT_T0);
    Product::template add_quad<false>(acc, x, quad, weights);
  }
  unrolled<kTiles>([&](auto t) BITWRIGHT_INLINE {
    unrolled<2>([&](auto v) BITWRIGHT_INLINE {
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums + t * 4 * kPanel + 32 * v), acc[t][v]);
    });
  });
}

BITWRIGHT_INLINE inline void sums_along(const __m256i (&m)[4], __m256i& first, __m256i& second) {
  first = _mm256_add_epi32(_mm256_add_epi32(m[0], m[1]), m[2]);
  second = _mm256_sub_epi32(_mm256_sub_epi32(m[1], m[2]), m[3]);
}

// A' M A / 4 of a tile's sums, and the epilogue.
void transform_sums(const IgemmParams& p, const Epilogue256& epilogue, const Buffers& at, const WinogradTile& tile,
                    const uint8_t* sums, int channel, int count) {
  __m256i acc[4][2];
  unrolled<2>([&](auto v) BITWRIGHT_INLINE {
    __m256i start = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p.start + channel + 8 * v));
    __m256i above[4], below[4];
    unrolled<4>([&](auto x) BITWRIGHT_INLINE {
      __m256i m[4];
      unrolled<4>([&](auto y) BITWRIGHT_INLINE {
        m[y] = _mm256_load_si256(reinterpret_cast<const __m256i*>(sums + (4 * y + x) * kTileBlock * 4 * kPanel + 32 * v));
      });
      sums_along(m, above[x], below[x]);
    });
    sums_along(above, acc[0][v], acc[1][v]);
    sums_along(below, acc[2][v], acc[3][v]);
    unrolled<4>([&](auto r) BITWRIGHT_INLINE { acc[r][v] = _mm256_add_epi32(_mm256_srai_epi32(acc[r][v], 2), start); });
  });
  const uint8_t* second[4];
  uint8_t* out[4];
  for (int r = 0; r < 4; ++r) {
    int y = tile.y + r / 2, x = tile.x + r % 2;
    second[r] = at.second + y * p.second.row + x * p.second.pixel, out[r] = at.out + y * p.out.row + x * p.out.pixel;
  }
  if (tile.high + tile.wide == 4) return epilogue.store(acc, channel, second, out, count);
  for (int r = 0; r < 4; ++r)
    if (r / 2 < tile.high && r % 2 < tile.wide)
      epilogue.store<1>({{acc[r][0], acc[r][1]}}, channel, second + r, out + r, count);
}

template <class Product>
void run_winograd(const IgemmParams& p, const Buffers& at, int begin, int end) {
  constexpr void (*kMultiply[])(const uint8_t*, int, const int8_t*, ptrdiff_t, uint8_t*) = {
      multiply<Product, 1>, multiply<Product, 2>, multiply<Product, 3>,
      multiply<Product, 4>, multiply<Product, 5>, multiply<Product, 6>};
  Winograd shape(p);
  Epilogue256 epilogue(p.epilogue);
  size_t place_bytes = shape.place_bytes();
  uint8_t *sums = at.scratch, *codes = at.scratch + kSumsBytes;
  int block = -1, first = 0, count = 0;
  for (int i = begin; i < end; ++i) {
    IgemmPiece piece = igemm_piece(shape.blocks.grid, shape.panels, i);
    if (piece.pixel_block != block) {
      block = piece.pixel_block, first = block * shape.blocks.pixels;
      count = shape.tiles - first < shape.blocks.pixels ? shape.tiles - first : shape.blocks.pixels;
      for (int t = 0; t < count; ++t)
        transform_codes(WinogradTile(p, at.in, shape.across, first + t), shape.depth, codes + t * 2 * shape.depth, place_bytes);
    }
    for (int panel = piece.first_panel; panel < piece.last_panel; ++panel) {
      const int8_t* weights =
          static_cast<const int8_t*>(p.weights) + panel * (shape.at_once ? shape.plain_bytes() : shape.panel_bytes());
      for (int place = 0; place < kPlaces; ++place) {
        const int8_t* multiplied = weights + place * shape.weights_place_bytes();
        if (shape.at_once) {
          uint8_t* made = codes + kPlaces * place_bytes;
          if (place % 4 == 0) kTransformWeights[place / 4](weights, shape.depth, made, shape.weights_place_bytes());
          multiplied = reinterpret_cast<const int8_t*>(made + place % 4 * shape.weights_place_bytes());
        }
        for (int t = 0, tiles; t < count; t += tiles) {
          tiles = count - t < kMostPixels ? count - t : kMostPixels;
          kMultiply[tiles - 1](codes + place * place_bytes + t * 2 * shape.depth, shape.depth, multiplied,
                               t + tiles < count ? 0 : static_cast<ptrdiff_t>(shape.weights_place_bytes()),
                               sums + (place * kTileBlock + t) * 4 * kPanel);
        }
      }
      int left = p.out.lanes - panel * kPanel;
      for (int t = 0; t < count; ++t)
        transform_sums(p, epilogue, at, WinogradTile(p, at.in, shape.across, first + t), sums + t * 4 * kPanel, panel * kPanel,
                       left < kPanel ? left : kPanel);
    }
  }
}

}  // namespace
}  // namespace bitwright
