// Moves of elements as loops: for each of a few dimensions an extent and the steps that it takes in memory, on both sides. So
// a move is worked out in no time and takes no memory, however many elements it moves.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitwright {

constexpr int kMostDims = 16;  // both sides of a reshape have up to 8

// One loop over one side.
struct Stride {
  int64_t extent;
  ptrdiff_t step;  // bytes
};

// One loop over both sides.
struct Dim {
  int64_t extent;
  ptrdiff_t in, out;  // bytes
};

// Where element `position`, counted in row-major order, lies; and how many more there are from it on at the last stride.
struct Position {
  ptrdiff_t offset;
  int64_t run;
};
Position position_of(const std::vector<Stride>& side, int64_t position);

// Both sides in row-major order as one list of loops. False where they divide the elements so differently that none exists.
bool paired(const std::vector<Stride>& in, const std::vector<Stride>& out, std::vector<Dim>& dims);

// The same loops in the order of the output's memory, those made one that can be.
std::vector<Dim> simplified(std::vector<Dim> dims);

// The loops cut into blocks of two dimensions, of a few kilobytes each.
class Blocks {
 public:
  Blocks() = default;
  explicit Blocks(std::vector<Dim> dims);
  int64_t count() const { return count_; }

  struct Block {
    ptrdiff_t in = 0, out = 0;  // of its first element
    Dim rows, columns;
  };

  // Calls visit(block) for blocks [begin, end).
  template <class Visit>
  void each(int64_t begin, int64_t end, Visit visit) const {
    std::array<int64_t, kMostDims> at = {};
    for (int64_t i = begin; i < end; ++i) {
      if (i == begin)
        first(i, at);
      else
        next(at);
      visit(block(at));
    }
  }

 private:
  void first(int64_t index, std::array<int64_t, kMostDims>& at) const;
  void next(std::array<int64_t, kMostDims>& at) const;
  Block block(const std::array<int64_t, kMostDims>& at) const;
  int64_t pieces(size_t d) const { return (dims_[d].extent + size_[d] - 1) / size_[d]; }

  std::vector<Dim> dims_;
  std::vector<int64_t> size_;  // of a block, in each dimension
  int64_t count_ = 0;
};

}  // namespace bitwright
