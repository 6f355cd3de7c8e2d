#include "kernels/igemm/packing.h"

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

std::vector<TapRun> tap_runs(const IgemmParams& p, int unit_bytes) {
  const Window& w = p.window;
  int depth = p.in.c / p.groups, pixel = static_cast<int>(p.in.pixel);
  bool merge = w.dilation_w == 1 && p.groups == 1 &&
               round_up((w.kw - 1) * pixel + depth, unit_bytes) <= w.kw * round_up(depth, unit_bytes);
  std::vector<TapRun> runs;
  for (int ky = 0; ky < w.kh; ++ky) {
    ptrdiff_t row = ky * w.dilation_h * p.in.row;
    if (merge) {
      runs.push_back({row, ky * w.kw, w.kw, pixel, round_up((w.kw - 1) * pixel + depth, unit_bytes)});
      continue;
    }
    for (int kx = 0; kx < w.kw; ++kx)
      runs.push_back({row + kx * w.dilation_w * p.in.pixel, ky * w.kw + kx, 1, 0, round_up(depth, unit_bytes)});
  }
  return runs;
}

int tile_unit(const IgemmParams& p) {
  int longest = 0;
  for (const TapRun& run : tap_runs(p, 4)) longest = std::max(longest, run.bytes);
  return std::min(longest, 64);
}

PackedIgemm header(const IgemmParams& p, const std::vector<TapRun>& runs, int unit_bytes) {
  PackedIgemm h = {};
  h.unit_bytes = unit_bytes, h.groups = p.groups;
  h.runs = static_cast<int>(runs.size());
  for (const TapRun& run : runs) h.quads += run.bytes / 4;
  h.outs = p.out.c / p.groups, h.depth = p.in.c / p.groups;
  h.panels = (h.outs + kPanel - 1) / kPanel;
  h.panel_bytes = static_cast<ptrdiff_t>(h.quads) * 4 * kPanel;
  h.group_bytes = h.panels * h.panel_bytes;
  h.weights = (static_cast<ptrdiff_t>(sizeof(h) + runs.size() * sizeof(Run)) + 63) / 64 * 64;
  return h;
}

size_t packed_bytes(const IgemmParams& p, int unit_bytes) {
  PackedIgemm h = header(p, tap_runs(p, unit_bytes), unit_bytes);
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

void pack(const IgemmParams& p, const int8_t* weights, void* packed, int unit_bytes) {
  std::vector<TapRun> runs = tap_runs(p, unit_bytes);
  PackedIgemm h = header(p, runs, unit_bytes);
  std::memset(packed, 0, packed_bytes(p, unit_bytes));
  std::memcpy(packed, &h, sizeof(h));
  auto* table = reinterpret_cast<Run*>(static_cast<uint8_t*>(packed) + sizeof(h));
  for (const TapRun& run : runs) *table++ = {run.offset, run.bytes / 4};
  int taps = p.window.kh * p.window.kw;
  for (int o = 0; o < p.out.c; ++o) {
    int group = o / h.outs, channel = o % h.outs;
    ptrdiff_t lane = h.weights + group * h.group_bytes + channel / kPanel * h.panel_bytes + channel % kPanel * 4;
    pack_channel(runs, h.depth, taps, weights + static_cast<ptrdiff_t>(o) * h.depth * taps,
                 static_cast<int8_t*>(packed) + lane);
  }
}

// Products of one sign can but grow, so it is their sums that have to fit.
bool panel_fits_in_twos(const PackedIgemm& h, const int8_t* panel, int most_code) {
  constexpr int kQuadBytes = 4 * kPanel;
  for (int r = 0; r < h.runs; panel += h.run_table()[r++].quads * kQuadBytes)
    for (ptrdiff_t quad = 0; quad + 2 <= h.run_table()[r].quads; quad += 2)
      for (int pair = 0; pair < 2 * kPanel; ++pair) {
        const int8_t* first = panel + quad * kQuadBytes + 2 * pair;
        int above = 0, below = 0;
        for (int w : {first[0], first[1], first[kQuadBytes], first[kQuadBytes + 1]}) (w > 0 ? above : below) += w;
        if (above * most_code > INT16_MAX || below * most_code < INT16_MIN) return false;
      }
  return true;
}

}  // namespace

PackedIgemm quads_header(const IgemmParams& p) { return header(p, tap_runs(p, 4), 4); }

size_t packed_quads_bytes(const IgemmParams& p) { return packed_bytes(p, 4); }
size_t packed_tiles_bytes(const IgemmParams& p) { return packed_bytes(p, tile_unit(p)); }
void pack_quads(const IgemmParams& p, const int8_t* weights, void* packed) { pack(p, weights, packed, 4); }
void pack_tiles(const IgemmParams& p, const int8_t* weights, void* packed) { pack(p, weights, packed, tile_unit(p)); }

size_t packed_crossed_bytes(const IgemmParams& p) {
  PackedIgemm h = quads_header(p);
  return static_cast<size_t>(h.weights + h.groups * (2 * h.group_bytes + h.panels * kPanel * sizeof(int32_t)));
}

// Quads are packed into the end of the memory, from where they are spread to the front.
void pack_crossed(const IgemmParams& p, const int8_t* weights, void* packed) {
  PackedIgemm h = quads_header(p);
  auto* front = static_cast<int8_t*>(packed);
  int8_t* back = front + packed_crossed_bytes(p) - packed_quads_bytes(p);
  pack_quads(p, weights, back);
  std::memmove(front, back, h.weights);
  auto* spread = static_cast<PackedIgemm*>(packed);
  spread->panel_bytes = 2 * h.panel_bytes + kPanel * sizeof(int32_t), spread->group_bytes = h.panels * spread->panel_bytes;
  const int8_t* from = back + h.weights;
  int8_t* panel = front + h.weights;
  for (int i = 0; i < h.groups * h.panels; ++i, panel += spread->panel_bytes) {
    int32_t products[kPanel] = {};
    auto* to = reinterpret_cast<int16_t*>(panel + sizeof(products));
    int8_t quad[kPanel][4];
    for (int k = 0; k < h.quads; ++k, from += sizeof(quad)) {
      std::memcpy(quad, from, sizeof(quad));
      for (int first : {1, 0})
        for (const auto& channel : quad) *to++ = channel[first], *to++ = channel[first + 2];
      for (int c = 0; c < kPanel; ++c) products[c] += quad[c][0] * quad[c][1] + quad[c][2] * quad[c][3];
    }
    std::memcpy(panel, products, sizeof(products));
  }
}

size_t packed_twos_bytes(const IgemmParams& p) {
  PackedIgemm h = quads_header(p);
  return packed_quads_bytes(p) + static_cast<size_t>(h.groups) * h.panels;
}

void pack_twos(const IgemmParams& p, const int8_t* weights, void* packed) {
  pack_quads(p, weights, packed);
  const auto& h = *static_cast<const PackedIgemm*>(packed);
  auto* fits = static_cast<uint8_t*>(packed) + packed_quads_bytes(p);
  for (int group = 0; group < h.groups; ++group)
    for (int panel = 0; panel < h.panels; ++panel) *fits++ = panel_fits_in_twos(h, h.panel(group, panel), p.most_code);
}

bool fits_in_twos(const PackedIgemm& packed, int group, int panel) {
  return packed.panel(packed.groups, 0)[static_cast<ptrdiff_t>(group) * packed.panels + panel] != 0;
}

void transform_window(const int8_t* g, int (&places)[16]) {
  auto along = [](int a, int b, int c, int* out, int step) {
    out[0] = a, out[step] = a + b + c, out[2 * step] = a - b + c, out[3 * step] = c;
  };
  int rows[12];  // 3x4
  for (int y = 0; y < 3; ++y) along(g[3 * y], g[3 * y + 1], g[3 * y + 2], rows + 4 * y, 1);
  for (int x = 0; x < 4; ++x) along(rows[x], rows[4 + x], rows[8 + x], places + x, 4);
}

void count_more_quads(const IgemmParams& p, const int8_t* weights, int (&more)[16]) {
  std::fill(more, more + 16, 0);
  for (int panel = 0; panel < p.out.c; panel += kWidePanel) {
    int counts[16] = {};
    for (int first = 0; first < p.in.c; first += 4) {
      int most[16] = {};  // of the quad
      for (int o = panel; o < std::min(panel + kWidePanel, p.out.c); ++o)
        for (int i = first; i < std::min(first + 4, p.in.c); ++i) {
          int places[16];
          transform_window(weights + (static_cast<ptrdiff_t>(o) * p.in.c + i) * 9, places);
          for (int place = 0; place < 16; ++place) most[place] = std::max(most[place], std::abs(places[place]));
        }
      for (int place = 0; place < 16; ++place) counts[place] += std::max(0, (most[place] - 1) / kMostByte);
    }
    for (int place = 0; place < 16; ++place) more[place] = std::max(more[place], counts[place]);
  }
}

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

IgemmBlocks igemm_blocks(const IgemmParams& p, int most_pixels, int most_panels) {
  int all = p.out.h * p.out.w, count = (all + most_pixels - 1) / most_pixels;
  return {igemm_grid(p, count, most_panels), (all + count - 1) / count};
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
