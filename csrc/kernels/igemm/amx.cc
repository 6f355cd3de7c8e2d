// TDPBUSD over tiles: up to 16 pixels x 64 bytes of K times 64 bytes of K x 16 channels, two by two, exact in int32.
//
// The rows of a tile must lie at equal distances. Either a tile is part of one row of output pixels; or, where the
// stride is 1, all rows are read as one long line, halo and all, and the results that belong to the halo are dropped.
#include <immintrin.h>

#include "kernels/epilogue_avx512.h"
#include "kernels/igemm/packing.h"
#include "kernels/igemm/tile_config.h"

namespace bitwright {
namespace {

constexpr int kMostPanels = 4;
constexpr int kMostRows = 16;
constexpr int kTilesPerBlock = 2;

// Lines of `length` pixels at distance `stride`, each cut into tiles of `rows`; the last of a line overlaps the one before.
struct Lines {
  int count, length, rows, tiles_per_line;
  bool whole;  // one line for the whole map: position = y * pitch + x
  int pitch;
  int tiles() const { return count * tiles_per_line; }
};

// Chooses the tile height that takes the least time: a tile takes about a cycle a row, but never less than 12.
void cut(Lines& lines, int& best) {
  for (int rows = lines.length < kMostRows ? lines.length : kMostRows; rows > 0; --rows) {
    int tiles = (lines.length + rows - 1) / rows;
    int cost = lines.count * tiles * (rows < 12 ? 12 : rows);
    if (cost >= best) continue;
    best = cost;
    lines.rows = rows, lines.tiles_per_line = tiles;
  }
}

Lines lines_of(const IgemmParams& p) {
  int best = INT32_MAX;
  Lines apart = {p.out.h, p.out.w, 0, 0, false, p.out.w};
  cut(apart, best);
  if (p.window.stride_h != 1 || p.window.stride_w != 1 || p.in.row % p.in.pixel != 0) return apart;
  int pitch = static_cast<int>(p.in.row / p.in.pixel);
  Lines whole = {1, (p.out.h - 1) * pitch + p.out.w, 0, 0, true, pitch};
  cut(whole, best);
  return whole.rows ? whole : apart;
}

IgemmGrid grid_of(const IgemmParams& p, const Lines& lines) {
  return igemm_grid(p, (lines.tiles() + kTilesPerBlock - 1) / kTilesPerBlock, kMostPanels);
}

int units(const IgemmParams& p) { return grid_of(p, lines_of(p)).count(); }

// The sums of one block of work: kTilesPerBlock tiles of pixels by four panels.
struct alignas(64) Sums {
  int32_t at[kTilesPerBlock * kMostRows][kMostPanels * kPanel];
};
constexpr int kSumsRow = kMostPanels * kPanel * 4;

// A tile's operands; `first` is where in its line it starts, `fresh` the first row that no tile before has done.
struct PixelTile {
  const uint8_t* x;
  int line, first, fresh;
};

// `start` fills every row of the accumulators: at a distance of 0, all rows of a tile are one.
template <int kTiles, int kPanels>
void multiply(const PackedIgemm& packed, const PixelTile* tiles, ptrdiff_t stride, const int8_t* weights, const int32_t* start,
              int32_t* sums) {
  _tile_loadd(0, start, 0);
  if constexpr (kPanels == 2) _tile_loadd(1, start + kPanel, 0);
  if constexpr (kTiles == 2) _tile_loadd(2, start, 0);
  if constexpr (kTiles == 2 && kPanels == 2) _tile_loadd(3, start + kPanel, 0);
  const int8_t* w = weights;
  const Run* runs = packed.run_table();
  const ptrdiff_t unit_bytes = packed.unit_bytes;
  for (int i = 0; i < packed.runs; ++i) {
    const uint8_t *x0 = tiles[0].x + runs[i].offset, *x1 = tiles[kTiles - 1].x + runs[i].offset;
    for (ptrdiff_t k = 0; k < runs[i].quads * 4; k += unit_bytes, w += unit_bytes * kPanel) {
      _tile_loadd(6, w, 64);
      _tile_loadd(4, x0 + k, stride);
      _tile_dpbusd(0, 4, 6);
      if constexpr (kPanels == 2) {
        _tile_loadd(7, w + packed.panel_bytes, 64);
        _tile_dpbusd(1, 4, 7);
      }
      if constexpr (kTiles == 2) {
        _tile_loadd(5, x1 + k, stride);
        _tile_dpbusd(2, 5, 6);
        if constexpr (kPanels == 2) _tile_dpbusd(3, 5, 7);
      }
    }
  }
  _tile_stored(0, sums, kSumsRow);
  if constexpr (kPanels == 2) _tile_stored(1, sums + kPanel, kSumsRow);
  if constexpr (kTiles == 2) {
    _tile_stored(2, sums + kMostRows * kMostPanels * kPanel, kSumsRow);
    if constexpr (kPanels == 2) _tile_stored(3, sums + kMostRows * kMostPanels * kPanel + kPanel, kSumsRow);
  }
}

class Runner {
 public:
  Runner(const IgemmParams& p, const Buffers& at)
      : p_(p),
        at_(at),
        packed_(*static_cast<const PackedIgemm*>(p.weights)),
        lines_(lines_of(p)),
        grid_(grid_of(p, lines_)),
        stride_(p.window.stride_w * p.in.pixel) {
    configure_tiles(lines_.rows, packed_.unit_bytes);
  }
  ~Runner() { _tile_release(); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  void piece(int index) {
    IgemmPiece piece = igemm_piece(grid_, packed_.panels, index);
    if (piece.pixel_block != pixel_block_ || piece.group != group_) set_pixel_block(piece.pixel_block, piece.group);
    int panels = piece.last_panel - piece.first_panel, channel = piece.group * packed_.outs + piece.first_panel * kPanel;
    for (int panel = 0; panel < panels; panel += 2) {
      const int8_t* weights = packed_.panel(piece.group, piece.first_panel + panel);
      bool two = panel + 1 < panels;
      auto* function = tile_count_ == 2 ? (two ? multiply<2, 2> : multiply<2, 1>) : (two ? multiply<1, 2> : multiply<1, 1>);
      function(packed_, tiles_, stride_, weights, p_.start + channel + panel * kPanel, &sums_.at[0][panel * kPanel]);
    }
    int count = lanes_to_store(p_, packed_, piece, channel);
    kFinishRows[panels - 1](p_.epilogue, channel, count, rows_, row_count_);
  }

 private:
  // Sets the tiles of a block of pixels and the destination of their rows, which all its panels share.
  void set_pixel_block(int pixel_block, int group) {
    pixel_block_ = pixel_block, group_ = group, row_count_ = 0;
    int first = pixel_block * kTilesPerBlock;
    tile_count_ = lines_.tiles() - first < kTilesPerBlock ? lines_.tiles() - first : kTilesPerBlock;
    for (int i = 0; i < tile_count_; ++i) {
      tiles_[i] = pixel_tile(first + i, group);
      add_rows(tiles_[i], sums_.at[i * kMostRows]);
    }
  }

  PixelTile pixel_tile(int index, int group) const {
    int line = index / lines_.tiles_per_line, fresh = index % lines_.tiles_per_line * lines_.rows;
    int first = fresh + lines_.rows > lines_.length ? lines_.length - lines_.rows : fresh;
    const uint8_t* x = at_.in + group * packed_.depth + (line * p_.window.stride_h - p_.window.pad_top) * p_.in.row +
                       (first * p_.window.stride_w - p_.window.pad_left) * p_.in.pixel;
    return {x, line, first, fresh - first};
  }

  void add_rows(const PixelTile& tile, const int32_t* sums) {
    int position = tile.first + tile.fresh;
    int y = lines_.whole ? position / lines_.pitch : tile.line, x = lines_.whole ? position % lines_.pitch : position;
    Row512* row = rows_ + row_count_;
    Row512 next = row_at(y, x, sums + tile.fresh * kMostPanels * kPanel);
    for (int r = tile.fresh; r < lines_.rows; ++r, next.sums += kMostPanels * kPanel) {
      if (x < p_.out.w) *row++ = next;
      next.second += p_.second.pixel, next.out += p_.out.pixel;
      if (++x == lines_.pitch) x = 0, next = row_at(++y, x, next.sums);
    }
    row_count_ = static_cast<int>(row - rows_);
  }

  Row512 row_at(int y, int x, const int32_t* sums) const {
    return {sums, at_.second + y * p_.second.row + x * p_.second.pixel, at_.out + y * p_.out.row + x * p_.out.pixel};
  }

  const IgemmParams& p_;
  const Buffers& at_;
  const PackedIgemm& packed_;
  Lines lines_;
  IgemmGrid grid_;
  ptrdiff_t stride_;
  int pixel_block_ = -1, group_ = -1, tile_count_ = 0, row_count_ = 0;
  PixelTile tiles_[kTilesPerBlock] = {};
  Row512 rows_[kTilesPerBlock * kMostRows];
  Sums sums_;
};

void run(const IgemmParams& p, const Buffers& at, int begin, int end) {
  Runner runner(p, at);
  for (int i = begin; i < end; ++i) runner.piece(i);
}

}  // namespace

const Kernel<IgemmParams> igemm_amx = {units, packed_tiles_bytes, pack_tiles, nullptr, run};

}  // namespace bitwright
