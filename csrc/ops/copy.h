// Ops that only move codes: what their steps have in common. Where memory is laid out so that nothing needs to move, they have
// none.
#pragma once

#include <algorithm>
#include <functional>

#include "kernels/rows.h"
#include "ops/step.h"
#include "ops/strided.h"

namespace bitwright {

// Units are blocks, piece after piece of the output.
class CopyStep : public Step {
 public:
  explicit CopyStep(Features features) : features_(features) { units = 0; }

  void run(const Memory& at, int begin, int end) const noexcept override {
    Buffers buffers = {at[Role::codes], nullptr, at[Role::output], nullptr};
    for (const Piece& piece : pieces_) {
      int first = std::clamp(begin - piece.first, 0, piece.units), last = std::clamp(end - piece.first, 0, piece.units);
      if (first < last) piece.kernel->run(piece.params, buffers, first, last);
    }
  }

  void copy(ptrdiff_t in_offset, ptrdiff_t out_offset, const std::vector<Dim>& dims) {
    add(move_of(dims, in_offset, out_offset));
  }

  void fill(uint8_t code, ptrdiff_t out_offset, const std::vector<Dim>& dims) {
    for (const Dim& d : dims)
      if (d.extent == 0) return;
    MoveParams p = move_of(dims, 0, out_offset);
    p.fills = true, p.code = code;
    add(p);
  }

 private:
  struct Piece {
    MoveParams params;
    const Kernel<MoveParams>* kernel;
    int first, units;
  };

  // The step has the name of its first piece, which is the one that moves what is there.
  void add(const MoveParams& p) {
    const KernelRow<MoveParams>& row = move_kernels().choose(p, features_);
    if (kernel.empty()) kernel = row.name, isa = isa_for(row.needs);
    if (!has(detected_features(), row.needs)) return;  // chosen, but not run: see KernelStep::bind
    pieces_.push_back({p, row.kernel, units, row.kernel->units(p)});
    units += pieces_.back().units;
  }

  Features features_;
  std::vector<Piece> pieces_;
};

// A copy of one value into the output of a layer: both, and their axes as they lie in memory.
struct Copy {
  const Value &from, &to;
  std::vector<Stride> in, out;
  const Node& node;
  Features features;
};

// A value's axes, in PyTorch's order, as they lie in memory.
std::vector<Stride> strides(const Value& value, const Map& map);

std::vector<Dim> over_both(const std::vector<int>& extents, const std::vector<Stride>& in, const std::vector<Stride>& out);

// Does `part`, one of the layer's, lie where it belongs?
bool is_in_place(const Binding&, const Part& part);

// The step that copies value `in` as `make` says.
std::unique_ptr<Step> make_copy(const Binding&, int in, const std::function<std::unique_ptr<Step>(Copy&)>& make);

// The step of a layer that copies its codes as `make` says; as its view says, where it has one; none where they are in place.
Steps make_move(const Binding&, std::unique_ptr<Step> (*make)(Copy&));

// One part, all of it, where a reshape or permute, whose axes have these `strides` in elements of its input in PyTorch's
// order, leaves all bytes in their order, in pixels of as many channels; else none.
std::vector<Part> whole_if_in_order(const Graph&, const Layer&, const std::vector<int64_t>& strides);
std::vector<int64_t> row_major(const std::vector<int>& shape);

}  // namespace bitwright
