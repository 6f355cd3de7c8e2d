// How weights are packed for the vector kernels, and how a layer is cut into pieces of work.
//
// A window is a list of runs of bytes: normally one for each tap, `depth` codes long; where pixels follow each other
// without gaps, one for each row of taps. Runs are rounded up to whole units; the weights there are zero, so it does
// not matter what those bytes of the input hold. Output channels come in panels of 16.
#pragma once

#include "kernels/igemm/igemm.h"
#include "kernels/target.h"

namespace bitwright {

constexpr int kPanel = 16;

struct Run {
  ptrdiff_t offset;  // from the window's first byte
  ptrdiff_t quads;   // of four bytes
};

// The packed memory: this, the runs, then at `weights` [group][panel][quad of K][channel in panel][4]; or, where products are
// crossed, of each panel first w0 w1 + w2 w3 of all quads for each channel, then as 16-bit numbers [quad of K][w1, w3 or w0,
// w2][channel][2].
struct PackedIgemm {
  int runs, quads;          // in all
  int unit_bytes;           // what runs are rounded up to
  int groups;
  int panels, outs, depth;  // of one group: panels, output channels, input channels
  ptrdiff_t panel_bytes, group_bytes, weights;

  BITWRIGHT_INLINE const Run* run_table() const { return reinterpret_cast<const Run*>(this + 1); }
  BITWRIGHT_INLINE const int8_t* panel(int group, int index) const {
    return reinterpret_cast<const int8_t*>(this) + weights + group * group_bytes + index * panel_bytes;
  }
};

// A unit is one quad where inputs are broadcast; where tiles are loaded, the longest run but at most 64 bytes, since rows
// of a tile that cross a cache line are slow to load.
PackedIgemm quads_header(const IgemmParams& p);  // what pack_quads writes first
size_t packed_quads_bytes(const IgemmParams& p);
size_t packed_crossed_bytes(const IgemmParams& p);
size_t packed_tiles_bytes(const IgemmParams& p);
void pack_quads(const IgemmParams& p, const int8_t* weights, void* packed);
// Quads, and behind them a byte for each panel, 1 where the products of two pairs, one pair in each of two quads that follow
// each other in a run, fit 16 bits together, whatever the codes are.
size_t packed_twos_bytes(const IgemmParams& p);
void pack_twos(const IgemmParams& p, const int8_t* weights, void* packed);
bool fits_in_twos(const PackedIgemm& packed, int group, int panel);
void pack_crossed(const IgemmParams& p, const int8_t* weights, void* packed);
void pack_tiles(const IgemmParams& p, const int8_t* weights, void* packed);

// The pieces of work: blocks of output pixels times blocks of up to `most_panels` panels. The larger operand is walked in the
// outer loop, so it is read once.
struct IgemmGrid {
  int pixel_blocks, panel_blocks;  // panel blocks of all groups
  int panel_blocks_per_group;
  bool panels_outer;

  BITWRIGHT_INLINE int count() const { return pixel_blocks * panel_blocks; }
};
IgemmGrid igemm_grid(const IgemmParams& p, int pixel_blocks, int most_panels);

// Blocks of pixels as even as they can be.
struct IgemmBlocks {
  IgemmGrid grid;
  int pixels;  // of a block
};
IgemmBlocks igemm_blocks(const IgemmParams& p, int most_pixels, int most_panels);

struct IgemmPiece {
  int pixel_block, group, first_panel, last_panel;
};
IgemmPiece igemm_piece(const IgemmGrid& grid, int panels, int index);

// How many lanes from `channel` on may be stored: all of the pixel's, except that a group must not touch the next one.
int lanes_to_store(const IgemmParams& p, const PackedIgemm& packed, const IgemmPiece& piece, int channel);

}  // namespace bitwright
