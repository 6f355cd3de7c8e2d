// Ops that only move codes: reshape, permute, slice, pad, concat.
#include <algorithm>
#include <cstring>

#include "kernels/rows.h"
#include "ops/step.h"
#include "ops/strided.h"

namespace bitwright {
namespace {

constexpr int64_t kElementsPerUnit = 4096;

// A value's axes, in PyTorch's order, as they lie in memory.
std::vector<Stride> strides(const Value& value, const Map& map) {
  std::vector<Stride> axes;
  for (int extent : value.shape) axes.push_back({extent, 1});
  ptrdiff_t step = map.pixel;
  for (int d = static_cast<int>(axes.size()) - 1; d >= 0; --d) {
    if (d == value.channel) continue;
    axes[d].step = step;
    step = axes.size() == 3 ? map.row : step * axes[d].extent;  // only two axes of pixels may have a halo
  }
  return axes;
}

// Units are blocks, part after part of the output.
class CopyStep : public Step {
 public:
  explicit CopyStep(Features features) : features_(features) { units = 0; }

  void run(const Buffers& at, int begin, int end) const noexcept override {
    for (const Part& part : parts_) {
      int first = std::clamp(begin - part.first, 0, part.units), last = std::clamp(end - part.first, 0, part.units);
      if (first < last) part.kernel->run(part.params, at, first, last);
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
  struct Part {
    MoveParams params;
    const Kernel<MoveParams>* kernel;
    int first, units;
  };

  // The step has the name of its first part, which is the one that moves what is there.
  void add(const MoveParams& p) {
    const KernelRow<MoveParams>& row = move_kernels().choose(p, features_);
    if (kernel.empty()) kernel = row.name, isa = isa_for(row.needs);
    if (!has(detected_features(), row.needs)) return;  // chosen, but not run: see KernelStep::bind
    parts_.push_back({p, row.kernel, units, row.kernel->units(p)});
    units += parts_.back().units;
  }

  Features features_;
  std::vector<Part> parts_;
};

// A reshape whose two shapes have no common loops.
class ReshapeStep : public Step {
 public:
  ReshapeStep(std::vector<Stride> in, std::vector<Stride> out, int64_t count)
      : in_(std::move(in)), out_(std::move(out)), count_(count) {
    kernel = "move, one by one";
    units = static_cast<int>((count + kElementsPerUnit - 1) / kElementsPerUnit);
  }

  void run(const Buffers& at, int begin, int end) const noexcept override {
    int64_t last = std::min(count_, end * kElementsPerUnit);
    for (int64_t i = begin * kElementsPerUnit; i < last;) {
      Position from = position_of(in_, i), to = position_of(out_, i);
      int64_t run = std::min({from.run, to.run, last - i});
      for (int64_t j = 0; j < run; ++j) at.out[to.offset + j * out_.back().step] = at.in[from.offset + j * in_.back().step];
      i += run;
    }
  }

 private:
  std::vector<Stride> in_, out_;
  int64_t count_;
};

std::vector<Dim> over_both(const std::vector<int>& extents, const std::vector<Stride>& in, const std::vector<Stride>& out) {
  std::vector<Dim> dims;
  for (size_t d = 0; d < extents.size(); ++d) dims.push_back({extents[d], in[d].step, out[d].step});
  return dims;
}

// Around the input, axis after axis: what lies before and behind it; along the axes before only as far as the input reaches.
void add_padding(CopyStep& step, uint8_t code, const std::vector<int>& padding, const std::vector<int>& shape,
                 const std::vector<Stride>& out) {
  ptrdiff_t inside = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    std::vector<Dim> dims;
    for (size_t d = 0; d < shape.size(); ++d) dims.push_back({d < axis ? shape[d] : out[d].extent, 0, out[d].step});
    int before = padding[2 * axis], behind = padding[2 * axis + 1];
    dims[axis].extent = before;
    step.fill(code, inside, dims);
    dims[axis].extent = behind;
    step.fill(code, inside + (before + shape[axis]) * out[axis].step, dims);
    inside += before * out[axis].step;
  }
}

std::unique_ptr<Step> make_move(const Node& node, const Value& from, const Value& to, int before, std::vector<Stride> in,
                                const std::vector<Stride>& out, Features features) {
  auto step = std::make_unique<CopyStep>(features);
  if (node.op == "reshape") {
    std::vector<Dim> dims;
    if (!paired(in, out, dims)) return std::make_unique<ReshapeStep>(in, out, from.count());
    step->copy(0, 0, dims);
  } else if (node.op == "permute") {
    std::vector<Stride> permuted;
    for (int d : node.attrs.at("dims")) permuted.push_back(in[d]);
    step->copy(0, 0, over_both(to.shape, permuted, out));
  } else if (node.op == "slice") {
    int axis = node.attrs.at("axis")[0];
    ptrdiff_t start = node.attrs.at("start")[0] * in[axis].step;
    in[axis].step *= node.attrs.at("step")[0];
    step->copy(start, 0, over_both(to.shape, in, out));
  } else if (node.op == "concat") {
    step->copy(0, before * out[node.attrs.at("axis")[0]].step, over_both(from.shape, in, out));
  } else if (node.op == "pad") {
    const auto& padding = node.attrs.at("padding");
    ptrdiff_t inside = 0;
    for (size_t d = 0; d < out.size(); ++d) inside += padding[2 * d] * out[d].step;
    step->copy(0, inside, over_both(from.shape, in, out));
    add_padding(*step, static_cast<uint8_t>(to.zero_point(0)), padding, from.shape, out);
  }
  return step;
}

// Units are rows.
class ConstantStep : public Step {
 public:
  ConstantStep(const Value& value, const Map& map, std::span<const uint8_t> from) : map_(map), codes_(value.count()) {
    std::vector<Stride> axes = strides(value, {map.h, map.w, map.c, map.c, ptrdiff_t{map.w} * map.c, map.c});
    for (int64_t i = 0; i < value.count(); ++i)
      codes_[position_of(axes, i).offset] = static_cast<uint8_t>(from[i] * value.step);
    units = map.h;
  }

  void run(const Buffers& at, int begin, int end) const noexcept override {
    for (int pixel = begin * map_.w; pixel < end * map_.w; ++pixel)
      std::memcpy(at.out + pixel / map_.w * map_.row + pixel % map_.w * map_.pixel, codes_.data() + ptrdiff_t{pixel} * map_.c,
                  map_.c);
  }

 private:
  Map map_;
  std::vector<uint8_t> codes_;  // without gaps
};

std::unique_ptr<Step> make_viewed(const View& view, const std::vector<Stride>& in, const std::vector<Stride>& out,
                                  Features features) {
  auto step = std::make_unique<CopyStep>(features);
  std::vector<Stride> loops;
  for (const View::Loop& loop : view.loops()) loops.push_back({loop.extent, loop.step * in[loop.axis].step});
  ptrdiff_t start = 0;
  for (size_t axis = 0; axis < in.size(); ++axis) start += view.starts()[axis] * in[axis].step;
  std::vector<Dim> dims;
  paired(loops, out, dims);  // the loops of an axis multiply to its extent
  step->copy(start, 0, dims);
  return step;
}

class ImageStep : public Step {
 public:
  void run(const Buffers& at, int begin, int end) const noexcept override {
    for (int y = begin; y < end; ++y)
      for (int x = 0; x < (map.pixel == map.c ? 1 : map.w); ++x) {
        size_t size = map.pixel == map.c ? static_cast<size_t>(map.w) * map.c : map.c;
        std::memcpy(at.out + y * map.row + x * map.pixel, at.in + (static_cast<size_t>(y) * map.w + x) * map.c, size);
      }
  }

  Map map = {};
};

}  // namespace

std::unique_ptr<Step> make_copy(const Graph& graph, const Layout& layout, const Layer& layer, int input, int before,
                                Features features) {
  const Node& node = *layer.node;
  int in = node.inputs[input], out = layer.output;
  const Value &from = graph.values[in], &to = graph.values[out];
  std::vector<Stride> in_strides = strides(from, layout.place(in).map), out_strides = strides(to, layout.place(out).map);
  auto step = layer.view ? make_viewed(*layer.view, in_strides, out_strides, features)
                         : make_move(node, from, to, before, in_strides, out_strides, features);
  step->name = node.name, step->op = node.op;
  step->in = in, step->out = out;
  step->bytes = 2 * std::min(from.count(), to.count());
  return step;
}

std::unique_ptr<Step> make_constant(const Graph& graph, const Layout& layout, const Layer& layer, Features) {
  const Node& node = *layer.node;
  const Value& value = graph.values[layer.output];
  auto step = std::make_unique<ConstantStep>(value, layout.place(layer.output).map, node.tensors.at("codes").as<uint8_t>());
  step->name = node.name, step->op = node.op, step->kernel = "copy";
  step->in = -1, step->out = layer.output;
  step->bytes = 2 * value.count();
  return step;
}

std::unique_ptr<Step> make_image(const Layout& layout) {
  auto step = std::make_unique<ImageStep>();
  step->name = step->op = "image", step->kernel = "copy";
  step->map = layout.place(0).map;
  step->units = step->map.h;
  step->bytes = 2 * static_cast<int64_t>(step->map.h) * step->map.w * step->map.c;
  step->in = -1, step->out = 0;
  return step;
}

}  // namespace bitwright
