#include "ops/strided.h"

#include <algorithm>

namespace bitwright {
namespace {

constexpr int64_t kMostColumns = 4096, kMostWovenColumns = 128, kBlockBytes = 8192, kTile = 64;

std::vector<Dim> simplified(std::vector<Dim> dims) {
  std::erase_if(dims, [](const Dim& d) { return d.extent == 1; });
  std::stable_sort(dims.begin(), dims.end(), [](const Dim& a, const Dim& b) { return a.out > b.out; });
  std::vector<Dim> merged;
  for (const Dim& inner : dims) {
    bool joins =
        !merged.empty() && merged.back().in == inner.extent * inner.in && merged.back().out == inner.extent * inner.out;
    if (joins)
      merged.back() = {merged.back().extent * inner.extent, inner.in, inner.out};
    else
      merged.push_back(inner);
  }
  if (merged.empty()) merged.push_back({1, 1, 1});
  if (merged.size() == 1) merged.insert(merged.begin(), {1, 0, 0});
  return merged;
}

// Makes the loop whose elements lie closest in the input the rows, if the columns lie further apart: then blocks are
// transpositions, for which there are kernels.
void bring_rows(std::vector<Dim>& dims) {
  auto rows = std::min_element(dims.begin(), dims.end(), [](const Dim& a, const Dim& b) { return a.in < b.in; });
  if (dims.back().in > 0 && rows != dims.end() - 1 && rows->in > 0) std::rotate(rows, rows + 1, dims.end() - 1);
}

}  // namespace

ptrdiff_t offset_of(const std::vector<Stride>& side, int64_t position) {
  ptrdiff_t offset = 0;
  for (size_t d = side.size(); d-- > 0; position /= side[d].extent) offset += position % side[d].extent * side[d].bytes;
  return offset;
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
    dims.push_back({extent, from.bytes, to.bytes});
    from = {from.extent / extent, from.bytes * extent}, to = {to.extent / extent, to.bytes * extent};
  }
  std::reverse(dims.begin(), dims.end());
  return true;
}

MoveParams move_of(std::vector<Dim> dims, ptrdiff_t in, ptrdiff_t out) {
  MoveParams p = {};
  p.in = in, p.out = out;
  dims = simplified(std::move(dims));
  bring_rows(dims);
  for (const Dim& d : dims) p.dims[p.rank] = d, p.piece[p.rank++] = 1;
  const Dim &rows = p.dims[p.rank - 2], &columns = p.dims[p.rank - 1];
  int64_t width = std::min(columns.extent, columns.in <= 1 ? kMostColumns : kMostWovenColumns);
  p.piece[p.rank - 1] = width;
  int64_t height = kBlockBytes / width;  // of a block: whole tiles of a transposition, or a few long rows
  p.piece[p.rank - 2] = std::clamp<int64_t>(height < kTile ? height : height / kTile * kTile, 1, rows.extent);
  return p;
}

}  // namespace bitwright
