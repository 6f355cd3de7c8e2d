#include "layout.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "memory.h"

namespace bitwright {
namespace {

constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }

}  // namespace

Extent extent(const Value& value) {
  if (value.shape.size() == 3) return {value.shape[1], value.shape[2], value.shape[0]};
  return {1, 1, static_cast<int>(value.count())};
}

Layout::Layout(const Graph& graph)
    : graph_(graph), links_(graph.values.size()), buffers_(graph.values.size()), places_(graph.values.size()) {}

void Layout::add_value() { links_.emplace_back(), buffers_.emplace_back(), places_.emplace_back(); }

int Layout::root(int value) const {
  while (links_[value].parent >= 0) value = links_[value].parent;
  return value;
}

int Layout::channel_in_root(int value) const {
  int channel = 0;
  for (; links_[value].parent >= 0; value = links_[value].parent) channel += links_[value].channel;
  return channel;
}

bool Layout::make_view(int child, int parent, int channel) {
  if (links_[child].parent >= 0 || root(parent) == child) return false;
  links_[child] = {parent, channel};
  return true;
}

bool Layout::is_view(int child, int parent) const { return links_[child].parent == parent; }

void Layout::need_halo(int value, const Halo& need) {
  Halo& halo = buffers_[root(value)].halo;
  halo = {std::max(halo.top, need.top), std::max(halo.left, need.left), std::max(halo.bottom, need.bottom),
          std::max(halo.right, need.right)};
}

bool Layout::has_halo(int value) const { return buffers_[root(value)].halo.any(); }

void Layout::used(int value, int step) {
  Buffer& buffer = buffers_[root(value)];
  if (buffer.first_step < 0) buffer.first_step = step;
  buffer.last_step = std::max(buffer.last_step, step);
}

void Layout::keep(int value) { buffers_[root(value)].last_step = std::numeric_limits<int>::max(); }

void Layout::shape_buffer(int value) {
  const Value& v = graph_.values[value];
  Extent e = extent(v);
  Buffer& b = buffers_[value];
  int lanes = e.c >= 16 ? round_up(e.c, 16) : round_up(e.c, 4);
  if (round_up(e.c, 64) <= e.c + e.c / 8) lanes = round_up(e.c, 64);  // whole cache lines, where that costs little
  if (value == 0 && e.c < 4) lanes = e.c;  // pixels stay as they come, so a row of taps is one run of bytes
  if (v.planes) lanes = round_up(e.c, 32);
  ptrdiff_t pixel = v.is_float ? 4 * lanes : v.planes ? v.planes * lanes / 8 : lanes;
  b.map = {e.h, e.w, e.c, lanes, pixel * (b.halo.left + e.w + b.halo.right), pixel};
  if (v.planes) {
    b.zero_pixel.resize(pixel);
    for (int c = 0; v.step == 1 && c < v.planes * e.c; ++c) {  // zero is no code of binary values: see bitgemm.h
      int plane = c / e.c, bit = plane * lanes + c % e.c;
      b.zero_pixel[bit / 8] |= static_cast<uint8_t>((v.zero_point(0) >> plane & 1) << bit % 8);
    }
  } else if (!v.is_float) {
    b.zero_pixel.resize(lanes, static_cast<uint8_t>(v.zero_point(0)));
    for (int c = 0; c < e.c; ++c) b.zero_pixel[c] = static_cast<uint8_t>(v.zero_point(v.zero_points.size() == 1 ? 0 : c));
  }
  b.origin = b.halo.top * b.map.row + b.halo.left * pixel;
  size_t bytes = static_cast<size_t>(b.map.row) * (b.halo.top + e.h + b.halo.bottom) + kSlack;
  b.bytes = (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

// Largest first, each at the lowest offset free of those that live while it does.
void Layout::assign_offsets() {
  std::vector<int> order, placed;
  for (size_t i = 0; i < buffers_.size(); ++i)
    if (buffers_[i].first_step >= 0 && links_[i].parent < 0) order.push_back(static_cast<int>(i));
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return buffers_[a].bytes > buffers_[b].bytes; });
  for (int i : order) {
    Buffer& b = buffers_[i];
    std::sort(placed.begin(), placed.end(), [&](int x, int y) { return buffers_[x].arena_offset < buffers_[y].arena_offset; });
    b.arena_offset = 0;
    for (int j : placed) {
      const Buffer& other = buffers_[j];
      bool together = other.first_step <= b.last_step && b.first_step <= other.last_step;
      if (together && other.arena_offset < b.arena_offset + b.bytes)
        b.arena_offset = std::max(b.arena_offset, other.arena_offset + other.bytes);
    }
    placed.push_back(i);
    arena_bytes_ = std::max(arena_bytes_, b.arena_offset + b.bytes);
  }
}

void Layout::arrange() {
  for (size_t i = 0; i < buffers_.size(); ++i)
    if (links_[i].parent < 0) shape_buffer(static_cast<int>(i));
  assign_offsets();
  for (size_t i = 0; i < places_.size(); ++i) {
    int value = static_cast<int>(i), r = root(value), channel = channel_in_root(value);
    const Buffer& b = buffers_[r];
    Map map = b.map;
    if (r != value) {
      map.c = extent(graph_.values[value]).c;
      if (map.c != b.map.c) map.lanes = map.c;
    }
    places_[i] = {r, static_cast<ptrdiff_t>(b.arena_offset) + b.origin + channel, map};
  }
}

}  // namespace bitwright
