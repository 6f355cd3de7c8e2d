// Where every value lives: which values share a buffer (reshape, channel slices and concat are views), how wide each
// halo is, and one arena in which buffers that never live at the same time overlap.
#pragma once

#include <vector>

#include "kernels/kernel.h"
#include "model/graph.h"

namespace bitwright {

constexpr size_t kSlack = 128;  // bytes behind a map: kernels may load a whole vector at the last pixel

// Zero-point pixels around a map, for windows that reach over its edge.
struct Halo {
  int top = 0, left = 0, bottom = 0, right = 0;
  bool any() const { return top || left || bottom || right; }
};

// The memory of one value and of all its views.
struct Buffer {
  Map map;
  Halo halo;
  std::vector<uint8_t> zero_pixel;  // what the halo holds, if there is one
  size_t bytes = 0, arena_offset = 0;
  ptrdiff_t origin = 0;  // from arena_offset to pixel (0, 0)
  int first_step = -1, last_step = -1;
};

// Where one value lies: part of a buffer, if it is a view.
struct Location {
  int buffer;
  ptrdiff_t offset;  // in the arena, of pixel (0, 0)
  Map map;
};

class Layout {
 public:
  explicit Layout(const Graph& graph);

  // Registers a value that was appended to the graph after construction.
  void add_value();
  size_t size() const { return locations_.size(); }

  // `child` is channels [channel, ...) of `parent`. False if `child` has a parent already or it would be its own.
  bool make_view(int child, int parent, int channel);
  // `child` is the pixels of `parent` from `pixel` on, in rows of its own length. Both must need no halo, now and later.
  bool make_pixel_view(int child, int parent, int pixel);
  bool is_view(int child, int parent) const;
  void need_halo(int value, const Halo& halo);
  bool has_halo(int value) const;  // whether the buffer of the value has one
  void used(int value, int step);
  void keep(int value);

  // Assigns every address. Nothing may be requested after this.
  void arrange();

  const Location& location(int value) const { return locations_[value]; }
  const Buffer& buffer(int index) const { return buffers_[index]; }
  size_t arena_bytes() const { return arena_bytes_; }

 private:
  // For each value: the value that it is a view of, and the path to its root as far as it is known.
  struct Link {
    int parent = -1, above = -1, channel = 0, pixel = 0;
    bool own_rows = false;
  };

  int root(int value) const;
  void shape_buffer(int value);
  void assign_offsets();
  std::vector<int> by_size() const;

  const Graph& graph_;
  mutable std::vector<Link> links_;
  std::vector<Buffer> buffers_;  // by value; views leave theirs unused
  std::vector<Location> locations_;
  size_t arena_bytes_ = 0;
  int steps_ = 0;
};

// Height, width and channels as the kernels see them. The pixels of a value are the elements of all its axes but the channel,
// in PyTorch's order: H x W of them where there are two such axes, else in rows of a length that divides their number.
struct Extent {
  int h, w, c;
};
Extent extent(const Value& value);

// How many pixels one index of an axis stands for, if it is the outermost of those that have more than one.
int pixels_along(const Value& value, int axis);

}  // namespace bitwright
