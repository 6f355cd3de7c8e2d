#include "pairs.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace bitwright {
namespace {

constexpr int kHalfQuad = 2 * kPanel;  // bytes: four of each of 8 channels
constexpr int kMostOfPair = 128;

constexpr ptrdiff_t round_up(ptrdiff_t n) { return (n + 63) / 64 * 64; }

// Where a half panel's excess is, in bytes from the start of the packed memory: it follows the weights.
struct Places {
  ptrdiff_t count, offsets, weights;
};

Places places_of(const PackedIgemm& h, int half_panel) {
  ptrdiff_t offsets_bytes = round_up(4 * static_cast<ptrdiff_t>(h.quads));
  ptrdiff_t size = 64 + offsets_bytes + round_up(static_cast<ptrdiff_t>(h.quads) * kHalfQuad);
  ptrdiff_t at = h.weights + h.groups * h.group_bytes + half_panel * size;
  return {at, at + 64, at + 64 + offsets_bytes};
}

// Takes from two weights what is more than 128 of either sign together; it is the greater one that gives.
void split_pair(int8_t* pair, int8_t* excess) {
  for (int sign : {1, -1}) {
    int sizes[2] = {std::max(0, sign * pair[0]), std::max(0, sign * pair[1])};
    int beyond = sizes[0] + sizes[1] - kMostOfPair, greater = sizes[1] > sizes[0];
    if (beyond <= 0) continue;
    pair[greater] = static_cast<int8_t>(pair[greater] - sign * beyond);
    excess[greater] = static_cast<int8_t>(sign * beyond);
  }
}

// Splits the quads of a half panel, which lie a whole quad apart; writes what is beyond and returns how many quads that is.
int split_quads(const PackedIgemm& h, int8_t* quad, int32_t* offsets, int8_t* weights) {
  int count = 0;
  for (const Run* run = h.run_table(); run < h.run_table() + h.runs; ++run)
    for (ptrdiff_t i = 0; i < run->quads; ++i, quad += 4 * kPanel) {
      int8_t excess[kHalfQuad] = {};
      for (int byte = 0; byte < kHalfQuad; byte += 2) split_pair(quad + byte, excess + byte);
      if (std::all_of(std::begin(excess), std::end(excess), [](int8_t w) { return w == 0; })) continue;
      std::memcpy(weights + static_cast<ptrdiff_t>(count) * kHalfQuad, excess, kHalfQuad);
      offsets[count++] = static_cast<int32_t>(run->offset + 4 * i);
    }
  return count;
}

}  // namespace

Excess excess_of(const PackedIgemm& packed, int half_panel) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&packed);
  Places at = places_of(packed, half_panel);
  return {*reinterpret_cast<const int32_t*>(bytes + at.count), reinterpret_cast<const int32_t*>(bytes + at.offsets),
          reinterpret_cast<const int8_t*>(bytes + at.weights)};
}

size_t packed_pairs_bytes(const IgemmParams& p) {
  PackedIgemm h = quads_header(p);
  return static_cast<size_t>(places_of(h, 2 * h.groups * h.panels).count);
}

void pack_pairs(const IgemmParams& p, const int8_t* weights, void* packed) {
  pack_quads(p, weights, packed);
  const auto& h = *static_cast<const PackedIgemm*>(packed);
  auto* bytes = static_cast<uint8_t*>(packed);
  for (int half = 0; half < 2 * h.groups * h.panels; ++half) {
    Places at = places_of(h, half);
    auto* quads = reinterpret_cast<int8_t*>(bytes + h.weights + half / 2 * h.panel_bytes + half % 2 * kHalfQuad);
    auto* offsets = reinterpret_cast<int32_t*>(bytes + at.offsets);
    *reinterpret_cast<int32_t*>(bytes + at.count) = split_quads(h, quads, offsets, reinterpret_cast<int8_t*>(bytes + at.weights));
  }
}

}  // namespace bitwright
