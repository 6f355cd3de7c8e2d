#include "planning/layout.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/memory.h"

namespace bitwright {
namespace {

constexpr int kManySteps = 256;
constexpr int kMostRowPixels = 16;  // of tokens: rows are what threads share

constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }

}  // namespace

Extent extent(const Value& value) {
  int channels = value.channels(), pixels = static_cast<int>(value.count() / channels), w = kMostRowPixels;
  if (value.shape.size() == 3)
    w = value.shape[value.channel == 2 ? 1 : 2];
  else
    while (pixels % w != 0) --w;
  return {pixels / w, w, channels};
}

int pixels_along(const Value& value, int axis) {
  return static_cast<int>(value.count() / value.channels() / value.shape[axis]);
}

Layout::Layout(const Graph& graph)
    : graph_(graph), links_(graph.values.size()), buffers_(graph.values.size()), locations_(graph.values.size()) {}

void Layout::add_value() { links_.emplace_back(), buffers_.emplace_back(), locations_.emplace_back(); }

// Afterwards every value on the way is linked to the root itself: long chains of views are walked once.
int Layout::root(int value) const {
  int above_it = links_[value].above;
  if (above_it < 0 || links_[above_it].above < 0) return above_it < 0 ? value : above_it;
  std::vector<int> way;
  int top = value;
  for (; links_[top].above >= 0; top = links_[top].above) way.push_back(top);
  Link above;
  for (size_t i = way.size(); i-- > 0;) {
    Link& link = links_[way[i]];
    if (i + 1 < way.size()) link.channel += above.channel, link.pixel += above.pixel, link.own_rows |= above.own_rows;
    link.above = top;
    above = link;
  }
  return top;
}

bool Layout::make_view(int child, int parent, int channel) {
  if (links_[child].parent >= 0 || root(parent) == child) return false;
  links_[child] = {parent, parent, channel};
  return true;
}

bool Layout::make_pixel_view(int child, int parent, int pixel) {
  if (has_halo(child) || has_halo(parent) || !make_view(child, parent, 0)) return false;
  links_[child].pixel = pixel, links_[child].own_rows = true;
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
  steps_ = std::max(steps_, step);
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
  if (v.planes && b.halo.any()) {
    b.zero_pixel.resize(pixel);
    for (int c = 0; v.step == 1 && c < v.planes * e.c; ++c) {  // zero is no code of binary values: see bitgemm.h
      int plane = c / e.c, bit = plane * lanes + c % e.c;
      b.zero_pixel[bit / 8] |= static_cast<uint8_t>((v.zero_point(0) >> plane & 1) << bit % 8);
    }
  } else if (!v.is_float && b.halo.any()) {
    b.zero_pixel.resize(lanes, static_cast<uint8_t>(v.zero_point(0)));
    for (int c = 0; c < e.c; ++c) b.zero_pixel[c] = static_cast<uint8_t>(v.zero_point(v.zero_points.size() == 1 ? 0 : c));
  }
  b.origin = b.halo.top * b.map.row + b.halo.left * pixel;
  size_t bytes = static_cast<size_t>(b.map.row) * (b.halo.top + e.h + b.halo.bottom) + kSlack;
  b.bytes = (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

std::vector<int> Layout::by_size() const {
  std::vector<int> order;
  for (size_t i = 0; i < buffers_.size(); ++i)
    if (buffers_[i].first_step >= 0 && links_[i].parent < 0) order.push_back(static_cast<int>(i));
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return buffers_[a].bytes > buffers_[b].bytes; });
  return order;
}

// Largest first, each at the lowest offset free of those that live while it does. Those that live for very many steps come
// behind all others, so that each is compared with few.
void Layout::assign_offsets() {
  auto is_long = [](const Buffer& b) { return b.last_step - b.first_step >= kManySteps; };
  std::vector<int> order = by_size(), long_lived;
  std::vector<std::vector<int>> alive(steps_ + 1), starting(steps_ + 1);  // placed ones, by step
  for (int i : order) {
    Buffer& b = buffers_[i];
    b.last_step = std::min(b.last_step, steps_);
    if (is_long(b)) {
      long_lived.push_back(i);
      continue;
    }
    std::vector<int> together = alive[b.first_step];
    for (int step = b.first_step + 1; step <= b.last_step; ++step)
      together.insert(together.end(), starting[step].begin(), starting[step].end());
    std::sort(together.begin(), together.end(),
              [&](int x, int y) { return buffers_[x].arena_offset < buffers_[y].arena_offset; });
    b.arena_offset = 0;
    for (int j : together) {
      const Buffer& other = buffers_[j];
      if (other.arena_offset < b.arena_offset + b.bytes)
        b.arena_offset = std::max(b.arena_offset, other.arena_offset + other.bytes);
    }
    arena_bytes_ = std::max(arena_bytes_, b.arena_offset + b.bytes);
    starting[b.first_step].push_back(i);
    for (int step = b.first_step; step <= b.last_step; ++step) alive[step].push_back(i);
  }
  for (int i : long_lived) {
    buffers_[i].arena_offset = arena_bytes_;
    arena_bytes_ += buffers_[i].bytes;
  }
}

void Layout::arrange() {
  for (size_t i = 0; i < buffers_.size(); ++i)
    if (links_[i].parent < 0) shape_buffer(static_cast<int>(i));
  assign_offsets();
  for (size_t i = 0; i < locations_.size(); ++i) {
    int value = static_cast<int>(i), r = root(value);
    const Buffer& b = buffers_[r];
    const Link& link = links_[i];  // to the root, now that this is known
    Map map = b.map;
    if (r != value) {
      Extent e = extent(graph_.values[value]);
      map.c = e.c;
      if (map.c != b.map.c) map.lanes = map.c;
      if (link.own_rows) map.h = e.h, map.w = e.w, map.row = e.w * map.pixel;
    }
    locations_[i] = {r, static_cast<ptrdiff_t>(b.arena_offset) + b.origin + link.pixel * map.pixel + link.channel, map};
  }
}

}  // namespace bitwright
