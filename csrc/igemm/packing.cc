#include "packing.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace bitwright {
namespace {

constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }

// The codes of a run: `taps` taps from tap `first`, `stride` bytes apart.
struct TapRun {
  ptrdiff_t offset;
  int first, taps, stride, bytes;
};

std::vector<TapRun> tap_runs(const IgemmParams& p, int step_bytes) {
  const Window& w = p.window;
  int depth = p.in.c / p.groups, pixel = static_cast<int>(p.in.pixel);
  bool merge = w.dilation_w == 1 && p.groups == 1 &&
               round_up((w.kw - 1) * pixel + depth, step_bytes) <= w.kw * round_up(depth, step_bytes);
  std::vector<TapRun> runs;
  for (int ky = 0; ky < w.kh; ++ky) {
    ptrdiff_t row = ky * w.dilation_h * p.in.row;
    if (merge) {
      runs.push_back({row, ky * w.kw, w.kw, pixel, round_up((w.kw - 1) * pixel + depth, step_bytes)});
      continue;
    }
    for (int kx = 0; kx < w.kw; ++kx)
      runs.push_back({row + kx * w.dilation_w * p.in.pixel, ky * w.kw + kx, 1, 0, round_up(depth, step_bytes)});
  }
  return runs;
}

int tile_step(const IgemmParams& p) {
  int longest = 0;
  for (const TapRun& run : tap_runs(p, 4)) longest = std::max(longest, run.bytes);
  return std::min(longest, 64);
}

PackedIgemm header(const IgemmParams& p, const std::vector<TapRun>& runs, int step_bytes) {
  PackedIgemm h = {};
  h.step_bytes = step_bytes, h.groups = p.groups;
  h.runs = static_cast<int>(runs.size());
  for (const TapRun& run : runs) h.quads += run.bytes / 4;
  h.outs = p.out.c / p.groups, h.depth = p.in.c / p.groups;
  h.panels = (h.outs + kPanel - 1) / kPanel;
  h.panel_bytes = static_cast<ptrdiff_t>(h.quads) * 4 * kPanel;
  h.group_bytes = h.panels * h.panel_bytes;
  h.weights = (static_cast<ptrdiff_t>(sizeof(h) + runs.size() * sizeof(Run)) + 63) / 64 * 64;
  return h;
}

size_t packed_bytes(const IgemmParams& p, int step_bytes) {
  PackedIgemm h = header(p, tap_runs(p, step_bytes), step_bytes);
  return static_cast<size_t>(h.weights + p.groups * h.group_bytes);
}

// One output channel: `from` is [depth][taps], `to` its lane of the panel.
void pack_channel(const std::vector<TapRun>& runs, int depth, int taps, const int8_t* from, int8_t* to) {
  for (const TapRun& run : runs) {
    for (int tap = 0; tap < run.taps; ++tap) {
      const int8_t* of_tap = from + run.first + tap;
      int i = 0, k = tap * run.stride;
      if (k % 4 == 0)
        for (; i + 4 <= depth; i += 4, k += 4)
          for (int j = 0; j < 4; ++j) to[k * kPanel + j] = of_tap[(i + j) * taps];
      for (; i < depth; ++i, ++k) to[k / 4 * 4 * kPanel + k % 4] = of_tap[i * taps];
    }
    to += run.bytes * kPanel;
  }
}

void pack(const IgemmParams& p, const int8_t* weights, void* packed, int step_bytes) {
  std::vector<TapRun> runs = tap_runs(p, step_bytes);
  PackedIgemm h = header(p, runs, step_bytes);
  std::memset(packed, 0, packed_bytes(p, step_bytes));
  std::memcpy(packed, &h, sizeof(h));
  auto* table = reinterpret_cast<Run*>(static_cast<uint8_t*>(packed) + sizeof(h));
  for (const TapRun& run : runs) *table++ = {run.offset, run.bytes / 4};
  int taps = p.window.kh * p.window.kw;
  for (int o = 0; o < p.out.c; ++o) {
    int group = o / h.outs, channel = o % h.outs;
    ptrdiff_t lane = h.weights + group * h.group_bytes + channel / kPanel * h.panel_bytes + channel % kPanel * 4;
    pack_channel(runs, h.depth, taps, weights + static_cast<ptrdiff_t>(o) * h.depth * taps, static_cast<int8_t*>(packed) + lane);
  }
}

}  // namespace

constexpr int kHalfQuad = 2 * kPanel;  // bytes: four of each of 8 channels

// For each half panel: the count, the offsets, the weights; each begins at a multiple of 64 bytes.
namespace {

ptrdiff_t excess_offsets_bytes(const PackedIgemm& h) { return round_up(h.quads * 4, 64); }

ptrdiff_t excess_bytes(const PackedIgemm& h) { return 64 + excess_offsets_bytes(h) + round_up(h.quads * kHalfQuad, 64); }

// Takes from two weights what is more than 128 of either sign together; it is the greater one that gives.
void split_pair(int8_t* pair, int8_t* excess) {
  for (int sign : {1, -1}) {
    int sizes[2] = {std::max(0, sign * pair[0]), std::max(0, sign * pair[1])};
    int beyond = sizes[0] + sizes[1] - 128, greater = sizes[1] > sizes[0];
    if (beyond <= 0) continue;
    pair[greater] = static_cast<int8_t>(pair[greater] - sign * beyond);
    excess[greater] = static_cast<int8_t>(sign * beyond);
  }
}

}  // namespace

Excess excess_of(const PackedIgemm& packed, int half_panel) {
  const auto* all = reinterpret_cast<const uint8_t*>(packed.panel(packed.groups, 0)) + half_panel * excess_bytes(packed);
  const auto* offsets = reinterpret_cast<const int32_t*>(all + 64);
  return {*reinterpret_cast<const int32_t*>(all), offsets,
          reinterpret_cast<const int8_t*>(all + 64 + excess_offsets_bytes(packed))};
}

size_t packed_pairs_bytes(const IgemmParams& p) {
  PackedIgemm h = header(p, tap_runs(p, 4), 4);
  return packed_quads_bytes(p) + static_cast<size_t>(p.groups) * h.panels * 2 * excess_bytes(h);
}

void pack_pairs(const IgemmParams& p, const int8_t* weights, void* packed) {
  pack_quads(p, weights, packed);
  auto& h = *static_cast<const PackedIgemm*>(packed);
  for (int half = 0; half < p.groups * h.panels * 2; ++half) {
    auto* quad = const_cast<int8_t*>(h.panel(0, half / 2)) + half % 2 * kHalfQuad;
    Excess excess = excess_of(h, half);
    auto* offsets = const_cast<int32_t*>(excess.offsets);
    int count = 0;
    for (const Run* run = h.run_table(); run < h.run_table() + h.runs; ++run)
      for (ptrdiff_t i = 0; i < run->quads; ++i, quad += 4 * kPanel) {
        int8_t more[kHalfQuad] = {};
        for (int pair = 0; pair < kPanel; ++pair) split_pair(quad + 2 * pair, more + 2 * pair);
        if (std::all_of(std::begin(more), std::end(more), [](int8_t w) { return w == 0; })) continue;
        std::memcpy(const_cast<int8_t*>(excess.weights) + count * kHalfQuad, more, sizeof(more));
        offsets[count++] = static_cast<int32_t>(run->offset + 4 * i);
      }
    *const_cast<int32_t*>(offsets - 16) = count;
  }
}

size_t packed_quads_bytes(const IgemmParams& p) { return packed_bytes(p, 4); }
size_t packed_tiles_bytes(const IgemmParams& p) { return packed_bytes(p, tile_step(p)); }
void pack_quads(const IgemmParams& p, const int8_t* weights, void* packed) { pack(p, weights, packed, 4); }
void pack_tiles(const IgemmParams& p, const int8_t* weights, void* packed) { pack(p, weights, packed, tile_step(p)); }

IgemmGrid igemm_grid(const IgemmParams& p, int pixel_blocks, int most_panels) {
  int panels = (p.out.c / p.groups + kPanel - 1) / kPanel;
  IgemmGrid grid = {};
  grid.pixel_blocks = pixel_blocks;
  grid.panel_blocks_per_group = (panels + most_panels - 1) / most_panels;
  grid.panel_blocks = grid.panel_blocks_per_group * p.groups;
  int64_t weights = static_cast<int64_t>(p.out.c) * (p.in.c / p.groups) * p.window.kh * p.window.kw;
  grid.panels_outer = weights > static_cast<int64_t>(p.in.h) * p.in.row;
  return grid;
}

// Panels are spread evenly over the blocks: five are 3 + 2, not 4 + 1.
IgemmPiece igemm_piece(const IgemmGrid& grid, int panels, int index) {
  int pixel_block = grid.panels_outer ? index % grid.pixel_blocks : index / grid.panel_blocks;
  int panel_block = grid.panels_outer ? index / grid.pixel_blocks : index % grid.panel_blocks;
  int blocks = grid.panel_blocks_per_group, block = panel_block % blocks;
  return {pixel_block, panel_block / blocks, panels * block / blocks, panels * (block + 1) / blocks};
}

int lanes_to_store(const IgemmParams& p, const PackedIgemm& packed, const IgemmPiece& piece, int channel) {
  bool last = piece.last_panel == packed.panels;
  int end = last && piece.group == p.groups - 1 ? p.out.lanes : (piece.group + 1) * packed.outs;
  int most = (piece.last_panel - piece.first_panel) * kPanel;
  return end - channel < most ? end - channel : most;
}

}  // namespace bitwright
