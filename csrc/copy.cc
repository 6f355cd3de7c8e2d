// Ops that only move codes: reshape, permute, slice, pad, concat.
#include <algorithm>
#include <cstring>

#include "step.h"
#include "strided.h"

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

void copy_block(const uint8_t* in, uint8_t* out, const Dim& rows, const Dim& columns) {
  for (int64_t r = 0; r < rows.extent; ++r, in += rows.in, out += rows.out) {
    if (columns.in == 1 && columns.out == 1) {
      std::memcpy(out, in, columns.extent);
      continue;
    }
    for (int64_t c = 0; c < columns.extent; ++c) out[c * columns.out] = in[c * columns.in];
  }
}

void fill_block(uint8_t zero, uint8_t* out, const Dim& rows, const Dim& columns) {
  for (int64_t r = 0; r < rows.extent; ++r, out += rows.out) {
    if (columns.out == 1) {
      std::memset(out, zero, columns.extent);
      continue;
    }
    for (int64_t c = 0; c < columns.extent; ++c) out[c * columns.out] = zero;
  }
}

// A part of the output: elements of the input, or zero points.
struct Part {
  ptrdiff_t in = 0, out = 0;
  bool fills = false;
  Blocks blocks;
};

// Units are blocks, part after part.
class CopyStep : public Step {
 public:
  void run(const Buffers& at, int begin, int end) const noexcept override {
    int64_t first = 0;
    for (const Part& part : parts_) {
      int64_t count = part.blocks.count();
      part.blocks.each(std::clamp<int64_t>(begin - first, 0, count), std::clamp<int64_t>(end - first, 0, count),
                       [&](const Blocks::Block& block) {
                         uint8_t* out = at.out + part.out + block.out;
                         if (part.fills)
                           fill_block(zero, out, block.rows, block.columns);
                         else
                           copy_block(at.in + part.in + block.in, out, block.rows, block.columns);
                       });
      first += count;
    }
  }

  void add(ptrdiff_t in_offset, ptrdiff_t out_offset, const std::vector<Dim>& dims, bool fills = false) {
    for (const Dim& d : dims)
      if (d.extent == 0) return;
    parts_.push_back({in_offset, out_offset, fills, Blocks(simplified(dims))});
    units = 0;
    for (const Part& part : parts_) units += static_cast<int>(part.blocks.count());
  }

  uint8_t zero = 0;

 private:
  std::vector<Part> parts_;
};

// A reshape whose two shapes have no common loops.
class ReshapeStep : public Step {
 public:
  ReshapeStep(std::vector<Stride> in, std::vector<Stride> out, int64_t count) : in_(std::move(in)), out_(std::move(out)), count_(count) {
    units = static_cast<int>((count + kElementsPerUnit - 1) / kElementsPerUnit);
  }

  void run(const Buffers& at, int begin, int end) const noexcept override {
    int64_t last = std::min(count_, end * kElementsPerUnit);
    for (int64_t i = begin * kElementsPerUnit; i < last;) {
      Position from = position_of(in_, i), to = position_of(out_, i);
      int64_t run = std::min({from.run, to.run, last - i});
      copy_block(at.in + from.offset, at.out + to.offset, {1, 0, 0}, {run, in_.back().step, out_.back().step});
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
void add_padding(CopyStep& step, const std::vector<int>& padding, const std::vector<int>& shape, const std::vector<Stride>& out) {
  ptrdiff_t inside = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    std::vector<Dim> dims;
    for (size_t d = 0; d < shape.size(); ++d) dims.push_back({d < axis ? shape[d] : out[d].extent, 0, out[d].step});
    int before = padding[2 * axis], behind = padding[2 * axis + 1];
    dims[axis].extent = before;
    step.add(0, inside, dims, true);
    dims[axis].extent = behind;
    step.add(0, inside + (before + shape[axis]) * out[axis].step, dims, true);
    inside += before * out[axis].step;
  }
}

std::unique_ptr<Step> make_move(const Node& node, const Value& from, const Value& to, int before, std::vector<Stride> in,
                                const std::vector<Stride>& out) {
  auto step = std::make_unique<CopyStep>();
  if (node.op == "reshape") {
    std::vector<Dim> dims;
    if (!paired(in, out, dims)) return std::make_unique<ReshapeStep>(in, out, from.count());
    step->add(0, 0, dims);
  } else if (node.op == "permute") {
    std::vector<Stride> permuted;
    for (int d : node.attrs.at("dims")) permuted.push_back(in[d]);
    step->add(0, 0, over_both(to.shape, permuted, out));
  } else if (node.op == "slice") {
    int axis = node.attrs.at("axis")[0];
    ptrdiff_t start = node.attrs.at("start")[0] * in[axis].step;
    in[axis].step *= node.attrs.at("step")[0];
    step->add(start, 0, over_both(to.shape, in, out));
  } else if (node.op == "concat") {
    step->add(0, before * out[node.attrs.at("axis")[0]].step, over_both(from.shape, in, out));
  } else if (node.op == "pad") {
    const auto& padding = node.attrs.at("padding");
    ptrdiff_t inside = 0;
    for (size_t d = 0; d < out.size(); ++d) inside += padding[2 * d] * out[d].step;
    step->zero = static_cast<uint8_t>(to.zero_point(0));
    step->add(0, inside, over_both(from.shape, in, out));
    add_padding(*step, padding, from.shape, out);
  }
  return step;
}

// Units are rows.
class ConstantStep : public Step {
 public:
  ConstantStep(const Value& value, const Map& map, std::span<const uint8_t> from) : map_(map), codes_(value.count()) {
    std::vector<Stride> axes = strides(value, {map.h, map.w, map.c, map.c, ptrdiff_t{map.w} * map.c, map.c});
    for (int64_t i = 0; i < value.count(); ++i) codes_[position_of(axes, i).offset] = static_cast<uint8_t>(from[i] * value.step);
    units = map.h;
  }

  void run(const Buffers& at, int begin, int end) const noexcept override {
    for (int pixel = begin * map_.w; pixel < end * map_.w; ++pixel)
      std::memcpy(at.out + pixel / map_.w * map_.row + pixel % map_.w * map_.pixel, codes_.data() + ptrdiff_t{pixel} * map_.c, map_.c);
  }

 private:
  Map map_;
  std::vector<uint8_t> codes_;  // without gaps
};

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

std::unique_ptr<Step> make_copy(const Graph& graph, const Layout& layout, const Layer& layer, int input, int before) {
  const Node& node = *layer.node;
  int in = node.inputs[input], out = layer.output;
  const Value &from = graph.values[in], &to = graph.values[out];
  auto step = make_move(node, from, to, before, strides(from, layout.place(in).map), strides(to, layout.place(out).map));
  step->name = node.name, step->op = node.op, step->kernel = "copy";
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
