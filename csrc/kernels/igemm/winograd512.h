// Windows of 3x3 by Winograd's F(2x2, 3x3) in bytes, exactly, for codes of up to 6 bits: VPDPBUSD makes 4 outputs of 16
// products, where the windows have 36. As in winograd256.h,
//
//   Y = A' [(G g G') * (B' d B)] A
//
// - B' d B is between -2c and 2c for codes up to c <= 63, or, where sums are taken along both axes, between 0 and 4c: with 2c
//   added to the former it is a byte. What 2c adds to the sums is taken off where they begin.
// - G g G' times 2, 1, 1, 2 along each axis are integers, of which the layer's must be bytes (`most_transformed`). Places at
// the
//   ends of an axis are taken twice when the outputs are made, which divides by 4 without a rest.
//
// Additions of bytes that leave 8 bits on the way come back to them. A piece of work is a block of tiles, each of 2x2 outputs,
// and a panel of 32 channels: scratch holds what the codes become, [16][tile][channel].
#pragma once

#include "kernels/igemm/tiles512.h"
#include "kernels/igemm/winograd_tile.h"

namespace bitwright {
namespace {

constexpr int kBothSums = 5;
constexpr int kTileBlock = 16;
constexpr int kSumsBytes = kPlaces * kTileBlock * kWidePanel * 4, kMadeBytes = 4 * kTileBlock * kWidePanel * 4;
constexpr int kPanelsInL2 = 1024;  // a panel takes 512 bytes a channel: of so many channels half a megabyte
#ifdef BITWRIGHT_FEW_TILES
constexpr int kMostTiles = 2;
#else
constexpr int kMostTiles = 8;
#endif

struct Winograd {
  int depth, quads;  // channels, of whole vectors; and of those that are multiplied
  int panels, across, tiles;
  IgemmGrid grid;
  int tiles_of_block;
  const int* more;

  explicit Winograd(const IgemmParams& p) : more(p.more_quads) {
    depth = (p.in.c + 63) / 64 * 64, quads = (p.in.c + 3) / 4, panels = (p.out.c + kWidePanel - 1) / kWidePanel;
    across = (p.out.w + 1) / 2, tiles = across * ((p.out.h + 1) / 2);
    int count = (tiles + kTileBlock - 1) / kTileBlock;
    tiles_of_block = (tiles + count - 1) / count;
    grid = igemm_grid(p, count, kWidePanel / kPanel * (depth < kPanelsInL2 ? kPanelsInL2 / depth : 1));
  }

  size_t codes_bytes() const { return static_cast<size_t>(tiles_of_block) * depth + 64; }  // of a place, no power of two
  // Of all panels a place: where its sums begin; [quad][channel of the panel][4]; the same of the quads that stand there again,
  // and which these are. Of a panel place after place.
  size_t quads_bytes(int place) const { return kWidePanel * 4 + static_cast<size_t>(quads + more[place]) * 4 * kWidePanel; }
  size_t place_bytes(int place) const { return quads_bytes(place) + (more[place] + 15) / 16 * 64; }
  size_t panel_bytes() const {
    size_t bytes = 0;
    for (int place = 0; place < kPlaces; ++place) bytes += place_bytes(place);
    return bytes;
  }
};

int winograd_units(const IgemmParams& p) { return Winograd(p).grid.count(); }

size_t winograd_packed_bytes(const IgemmParams& p) {
  Winograd w(p);
  return w.panels * w.panel_bytes();
}

size_t winograd_scratch_bytes(const IgemmParams& p) { return kSumsBytes + kMadeBytes + kPlaces * Winograd(p).codes_bytes(); }

// A place of a panel while it is packed.
struct PackedPlace {
  int32_t* starts;
  int8_t *quads, *more;
  int32_t* which;
  int added;  // to the codes

  // The next quad, [channel of the panel][4]: in bytes, and what is beyond them once more.
  void add(int quad, int (&numbers)[4 * kWidePanel]) {
    for (int channel = 0; channel < kWidePanel; ++channel)
      for (int i = 0; i < 4; ++i) starts[channel] -= added * numbers[4 * channel + i];
    int8_t* to = quads + quad * 4 * kWidePanel;
    for (int rest = 1; rest; to = more) {
      if (to == more) *which++ = quad, more += 4 * kWidePanel;
      rest = 0;
      for (int i = 0; i < 4 * kWidePanel; ++i) {
        int byte = numbers[i] > kMostByte ? kMostByte : numbers[i] < -kMostByte ? -kMostByte : numbers[i];
        to[i] = static_cast<int8_t>(byte), numbers[i] -= byte, rest |= numbers[i];
      }
    }
  }
};

void pack_winograd(const IgemmParams& p, const int8_t* weights, void* packed) {
  Winograd shape(p);
  __builtin_memset(packed, 0, winograd_packed_bytes(p));
  auto* to = static_cast<uint8_t*>(packed);
  for (int panel = 0; panel < shape.panels; ++panel) {
    PackedPlace places[kPlaces];
    for (int i = 0; i < kPlaces; to += shape.place_bytes(i), ++i) {
      auto* quads = reinterpret_cast<int8_t*>(to + kWidePanel * 4);
      places[i] = {reinterpret_cast<int32_t*>(to), quads, quads + shape.quads * 4 * kWidePanel,
                   reinterpret_cast<int32_t*>(to + shape.quads_bytes(i)), i == kBothSums ? 0 : 2 * p.most_code};
    }
    for (int quad = 0; quad < shape.quads; ++quad) {
      int numbers[kPlaces][4 * kWidePanel] = {};
      for (int channel = 0; channel < kWidePanel && panel * kWidePanel + channel < p.out.c; ++channel)
        for (int i = 0; i < 4 && 4 * quad + i < p.in.c; ++i) {
          int transformed[kPlaces];
          transform_window(weights + (static_cast<ptrdiff_t>(panel * kWidePanel + channel) * p.in.c + 4 * quad + i) * 9,
                           transformed);
          for (int place = 0; place < kPlaces; ++place) numbers[place][4 * channel + i] = transformed[place];
        }
      for (int place = 0; place < kPlaces; ++place) places[place].add(quad, numbers[place]);
    }
  }
}

BITWRIGHT_INLINE inline void codes_along(__m512i (&d)[4]) {
  __m512i first = _mm512_sub_epi8(d[0], d[2]), last = _mm512_sub_epi8(d[1], d[3]), sum = _mm512_add_epi8(d[1], d[2]);
  d[2] = _mm512_sub_epi8(d[2], d[1]), d[0] = first, d[1] = sum, d[3] = last;
}

// B' d B of a tile's codes, as bytes.
void transform_codes(const WinogradTile& tile, int most_code, int depth, uint8_t* to, size_t place_bytes) {
  const __m512i added = _mm512_set1_epi8(static_cast<char>(2 * most_code));
  for (int c = 0; c < depth; c += 64) {
    __m512i d[4][4];  // by column, row
    unrolled<4>([&](auto x) BITWRIGHT_INLINE {
      unrolled<4>([&](auto y) BITWRIGHT_INLINE { d[x][y] = _mm512_loadu_si512(tile.rows[y] + tile.columns[x] + c); });
      codes_along(d[x]);
    });
    unrolled<4>([&](auto y) BITWRIGHT_INLINE {
      __m512i row[4] = {d[0][y], d[1][y], d[2][y], d[3][y]};
      codes_along(row);
      unrolled<4>([&](auto x) BITWRIGHT_INLINE {
        __m512i bytes = 4 * y + x == kBothSums ? row[x] : _mm512_add_epi8(row[x], added);
        _mm512_store_si512(to + (4 * y + x) * place_bytes + c, bytes);
      });
    });
  }
}

// The sums of a few tiles at one place, kWidePanel of each.
template <int kTiles>
void multiply_place(const uint8_t* codes, int depth, int quads, int more, const uint8_t* place, ptrdiff_t ahead,
                    int32_t* sums) {
  const uint8_t* x[kTiles];
  __m512i acc[kTiles][2];
  begin(reinterpret_cast<const int32_t*>(place), acc);
  unrolled<kTiles>([&](auto t) BITWRIGHT_INLINE { x[t] = codes + t * depth; });
  auto* w = reinterpret_cast<const int8_t*>(place + kWidePanel * 4);
  for (ptrdiff_t quad = 0; quad < quads; ++quad, w += 4 * kWidePanel) {
    _mm_prefetch(reinterpret_cast<const char*>(w + ahead), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(w + ahead + 64), _MM_HINT_T0);
    add_quad<false>(x, quad, w, 4 * kPanel, acc);
  }
  auto* which = reinterpret_cast<const int32_t*>(w + more * 4 * kWidePanel);
  for (int i = 0; i < more; ++i, w += 4 * kWidePanel) add_quad<false>(x, which[i], w, 4 * kPanel, acc);
  unrolled<kTiles>([&](auto t) BITWRIGHT_INLINE {
    unrolled<2>([&](auto v) BITWRIGHT_INLINE { _mm512_store_si512(sums + t * kWidePanel + 16 * v, acc[t][v]); });
  });
}

BITWRIGHT_INLINE inline void sums_along(const __m512i (&m)[4], __m512i& first, __m512i& second) {
  first = _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(m[0], 1), m[1]), m[2]);
  second = _mm512_sub_epi32(_mm512_sub_epi32(m[1], m[2]), _mm512_slli_epi32(m[3], 1));
}

// A' M A / 4 of a tile's sums, four pixels of kWidePanel.
void transform_sums(const int32_t* sums, const int32_t* starts, int32_t* to) {
  unrolled<2>([&](auto v) BITWRIGHT_INLINE {
    __m512i above[4], below[4], out[4];
    unrolled<4>([&](auto x) BITWRIGHT_INLINE {
      __m512i m[4];
      unrolled<4>([&](auto y)
                      BITWRIGHT_INLINE { m[y] = _mm512_load_si512(sums + (4 * y + x) * kTileBlock * kWidePanel + 16 * v); });
      sums_along(m, above[x], below[x]);
    });
    sums_along(above, out[0], out[1]), sums_along(below, out[2], out[3]);
    __m512i start = _mm512_loadu_si512(starts + 16 * v);
    unrolled<4>([&](auto r) BITWRIGHT_INLINE {
      _mm512_store_si512(to + r * kWidePanel + 16 * v, _mm512_add_epi32(_mm512_srai_epi32(out[r], 2), start));
    });
  });
}

struct Multiplies {
  void (*by[kMostTiles])(const uint8_t*, int, int, int, const uint8_t*, ptrdiff_t, int32_t*);  // by tiles less 1
};

constexpr Multiplies multiplies() {
  Multiplies found = {};
  unrolled<kMostTiles>([&](auto t) { found.by[t] = multiply_place<t + 1>; });
  return found;
}

void run_winograd(const IgemmParams& p, const Buffers& at, int begin, int end) {
  constexpr Multiplies kMultiply = multiplies();
  Winograd shape(p);
  auto *sums = reinterpret_cast<int32_t*>(at.scratch), *made = reinterpret_cast<int32_t*>(at.scratch + kSumsBytes);
  uint8_t* codes = at.scratch + kSumsBytes + kMadeBytes;
  int block = -1, first = 0, count = 0;
  for (int i = begin; i < end; ++i) {
    IgemmPiece piece = igemm_piece(shape.grid, shape.panels, i);
    if (piece.pixel_block != block) {
      block = piece.pixel_block, first = block * shape.tiles_of_block;
      count = shape.tiles - first < shape.tiles_of_block ? shape.tiles - first : shape.tiles_of_block;
      for (int t = 0; t < count; ++t)
        transform_codes(WinogradTile(p, at.in, shape.across, first + t), p.most_code, shape.depth, codes + t * shape.depth,
                        shape.codes_bytes());
    }
    for (int panel = piece.first_panel; panel < piece.last_panel; ++panel) {
      const uint8_t* weights = static_cast<const uint8_t*>(p.weights) + panel * shape.panel_bytes();
      for (int place = 0; place < kPlaces; weights += shape.place_bytes(place), ++place)
        for (int t = 0, tiles; t < count; t += tiles) {
          tiles = count - t < kMostTiles ? count - t : kMostTiles;
          kMultiply.by[tiles - 1](codes + place * shape.codes_bytes() + t * shape.depth, shape.depth, shape.quads,
                                  shape.more[place], weights,
                                  t + tiles < count ? 0 : static_cast<ptrdiff_t>(shape.place_bytes(place)),
                                  sums + (place * kTileBlock + t) * kWidePanel);
        }
      Row512 rows[4 * kTileBlock];
      int row_count = 0;
      for (int t = 0; t < count; ++t) {
        transform_sums(sums + t * kWidePanel, p.start + panel * kWidePanel, made + 4 * t * kWidePanel);
        WinogradTile tile(p, at.in, shape.across, first + t);
        for (int r = 0; r < 4; ++r) {
          int y = tile.y + r / 2, x = tile.x + r % 2;
          if (r / 2 < tile.high && r % 2 < tile.wide)
            rows[row_count++] = {made + (4 * t + r) * kWidePanel, at.second + y * p.second.row + x * p.second.pixel,
                                 at.out + y * p.out.row + x * p.out.pixel};
        }
      }
      int left = p.out.lanes - panel * kWidePanel;
      kFinishRows[kWidePanel / 16 - 1](p.epilogue, panel * kWidePanel, left < kWidePanel ? left : kWidePanel, rows, row_count);
    }
  }
}

}  // namespace
}  // namespace bitwright
