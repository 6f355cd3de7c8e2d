// A value as another one's elements in another order or in part: what chains of reshape, permute and slice come to. Each axis
// is loops over axes of the source, so `reshape, permute, reshape`, which shuffles channels, is one move with two loops over
// them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace bitwright {

class View {
 public:
  struct Loop {
    int64_t extent;
    int axis;      // of the source
    int64_t stride;  // along it
  };
  using Axis = std::vector<Loop>;  // outermost first; none for an extent of 1

  View(int source, const std::vector<int>& shape);

  // Moves of it; nothing where these have no such loops.
  std::optional<View> permuted(const std::vector<int>& dims) const;
  std::optional<View> sliced(int axis, int64_t start, int64_t step, int64_t count) const;
  std::optional<View> reshaped(const std::vector<int>& shape) const;

  int source() const { return source_; }
  const std::vector<int64_t>& starts() const { return starts_; }  // along each axis of the source
  std::vector<Loop> loops() const;                                // of all axes, in row-major order

 private:
  bool slice(Axis& axis, int64_t start, int64_t step, int64_t count);
  bool reshape(const std::vector<int>& shape);

  int source_;
  std::vector<int64_t> starts_;
  std::vector<Axis> axes_;
};

}  // namespace bitwright
