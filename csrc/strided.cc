#include "strided.h"

#include <algorithm>
#include <cstdlib>

namespace bitwright {
namespace {

constexpr int64_t kMostColumns = 4096, kBlockBytes = 8192, kTile = 64;

}  // namespace

Position position_of(const std::vector<Stride>& side, int64_t position) {
  Position found = {0, 1};
  for (size_t d = side.size(); d-- > 0; position /= side[d].extent) {
    int64_t index = position % side[d].extent;
    found.offset += index * side[d].step;
    if (d + 1 == side.size()) found.run = side[d].extent - index;
  }
  return found;
}

bool paired(const std::vector<Stride>& in, const std::vector<Stride>& out, std::vector<Dim>& dims) {
  size_t i = in.size(), o = out.size();
  Stride from = {1, 0}, to = {1, 0};
  while (true) {
    while (from.extent == 1 && i > 0) from = in[--i];
    while (to.extent == 1 && o > 0) to = out[--o];
    int64_t extent = std::min(from.extent, to.extent);
    if (from.extent % extent != 0 || to.extent % extent != 0) return false;
    if (extent == 1) break;
    dims.push_back({extent, from.step, to.step});
    from = {from.extent / extent, from.step * extent}, to = {to.extent / extent, to.step * extent};
  }
  std::reverse(dims.begin(), dims.end());
  return true;
}

std::vector<Dim> simplified(std::vector<Dim> dims) {
  std::erase_if(dims, [](const Dim& d) { return d.extent == 1; });
  std::stable_sort(dims.begin(), dims.end(), [](const Dim& a, const Dim& b) { return a.out > b.out; });
  std::vector<Dim> merged;
  for (const Dim& inner : dims) {
    bool joins = !merged.empty() && merged.back().in == inner.extent * inner.in && merged.back().out == inner.extent * inner.out;
    if (joins)
      merged.back() = {merged.back().extent * inner.extent, inner.in, inner.out};
    else
      merged.push_back(inner);
  }
  if (merged.empty()) merged.push_back({1, 1, 1});
  return merged;
}

// The columns of a block are the last dimension, its rows the one before.
Blocks::Blocks(std::vector<Dim> dims) : dims_(std::move(dims)), size_(2, 1) {
  while (dims_.size() < 2) dims_.insert(dims_.begin(), {1, 0, 0});
  size_.resize(dims_.size(), 1);
  size_t rows = dims_.size() - 2, columns = dims_.size() - 1;
  std::fill(size_.begin(), size_.end(), 1);
  size_[columns] = std::min(dims_[columns].extent, kMostColumns);
  size_[rows] = std::min(dims_[rows].extent, std::max<int64_t>(1, kBlockBytes / size_[columns] / kTile * kTile));
  count_ = 1;
  for (size_t d = 0; d < dims_.size(); ++d) count_ *= pieces(d);
}

void Blocks::first(int64_t index, std::array<int64_t, kMostDims>& at) const {
  for (size_t d = dims_.size(); d-- > 0; index /= pieces(d)) at[d] = index % pieces(d);
}

void Blocks::next(std::array<int64_t, kMostDims>& at) const {
  for (size_t d = dims_.size(); d-- > 0;) {
    if (++at[d] < pieces(d)) return;
    at[d] = 0;
  }
}

Blocks::Block Blocks::block(const std::array<int64_t, kMostDims>& at) const {
  Block block;
  for (size_t d = 0; d < dims_.size(); ++d) {
    int64_t index = at[d] * size_[d];
    block.in += index * dims_[d].in, block.out += index * dims_[d].out;
  }
  auto cut = [&](size_t d) { return Dim{std::min(size_[d], dims_[d].extent - at[d] * size_[d]), dims_[d].in, dims_[d].out}; };
  block.rows = cut(dims_.size() - 2), block.columns = cut(dims_.size() - 1);
  return block;
}

}  // namespace bitwright
