// Squeeze-and-excite without passes of its own over maps: a depthwise convolution pools each block of channels once it has
// written it; a 1x1 convolution multiplies the pixels that it reads next.
#include "kernels/depthwise/depthwise.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/igemm/igemm.h"
#include "kernels/pool/pool.h"
#include "ops/kernel_step.h"

namespace bitwright {
namespace {

constexpr int kStripPixels = 112;

using Scale = KernelStep<ElementwiseParams>;
using Pointwise = KernelStep<IgemmParams>;
using Depthwise = KernelStep<DepthwiseParams>;
using GlobalPool = KernelStep<PoolParams>;

template <class T>
std::unique_ptr<T> as(std::unique_ptr<Step> step) {
  return std::unique_ptr<T>(static_cast<T*>(step.release()));
}

class ScaledStep : public Step {
 public:
  ScaledStep(std::unique_ptr<Scale> scale, std::unique_ptr<Pointwise> conv, Strips strips)
      : scale_(std::move(scale)), conv_(std::move(conv)), strip_rows_(strips.rows) {
    name = conv_->name, op = conv_->op, kernel = conv_->kernel + ", input scaled", isa = conv_->isa;
    macs = conv_->macs, weight_bytes = conv_->weight_bytes;
    in = scale_->in, third = scale_->second, second = conv_->second, out = conv_->out;
    const Map& map = conv_->params.in;
    bytes = scale_->bytes + conv_->bytes - 2 * static_cast<int64_t>(map.h) * map.w * map.c;
    strip_bytes_ = (strip_rows_ * map.row + kSlack + kCacheLine - 1) / kCacheLine * kCacheLine;
    units = strips.count, scratch_bytes = strip_bytes_ + conv_->scratch_bytes;
  }

  void run(const Buffers& at, int begin, int end) const noexcept override {
    ElementwiseParams scale = scale_->params;
    IgemmParams conv = conv_->params;
    conv.strip = true;
    for (int i = begin; i < end; ++i) {
      int y = i * strip_rows_, rows = std::min(strip_rows_, conv_->params.in.h - y);
      for (Map* map : {&scale.in, &scale.out, &conv.in, &conv.second, &conv.out}) map->h = rows;
      scale_->run_all(scale, {at.in + y * scale.in.row, at.third, at.scratch, nullptr});
      conv_->run_all(conv, {at.scratch, at.second + y * conv.second.row, at.out + y * conv.out.row, at.scratch + strip_bytes_});
    }
  }

 private:
  std::unique_ptr<Scale> scale_;
  std::unique_ptr<Pointwise> conv_;
  int strip_rows_;
  size_t strip_bytes_;
};

class PooledStep : public Step {
 public:
  PooledStep(std::unique_ptr<Depthwise> conv, std::unique_ptr<GlobalPool> pool)
      : conv_(std::move(conv)), pool_(std::move(pool)) {
    static_assert(kPoolBlock == DepthwiseGrid::kBlockChannels);
    name = conv_->name, op = conv_->op, kernel = conv_->kernel + ", output pooled", isa = conv_->isa;
    macs = conv_->macs, weight_bytes = conv_->weight_bytes, bytes = conv_->bytes + pool_->params.out.c;
    in = conv_->in, second = conv_->second, out = conv_->out, third = pool_->out;
    units = pool_->units, pieces_ = conv_->units / units;
  }

  void run(const Buffers& at, int begin, int end) const noexcept override {
    for (int block = begin; block < end; ++block) {
      conv_->run(at, block * pieces_, (block + 1) * pieces_);
      pool_->run({at.out, nullptr, at.third, nullptr}, block, block + 1);
    }
  }

 private:
  std::unique_ptr<Depthwise> conv_;
  std::unique_ptr<GlobalPool> pool_;
  int pieces_;  // units of the convolution, of a block of channels
};

}  // namespace

Strips scaled_strips(const Value& x) {
  Extent e = extent(x);
  int count = (e.h * e.w + kStripPixels - 1) / kStripPixels, rows = (e.h + count - 1) / count;
  return {rows, (e.h + rows - 1) / rows};
}

std::unique_ptr<Step> make_scaled(const Graph& graph, const Layout& layout, const Layer& layer, Features features) {
  return std::make_unique<ScaledStep>(as<Scale>(make_elementwise(graph, layout, *layer.scale, features)),
                                      as<Pointwise>(make_conv2d(graph, layout, layer, features)),
                                      scaled_strips(graph.values[layer.scale->node->inputs[0]]));
}

std::unique_ptr<Step> make_pooled(const Graph& graph, const Layout& layout, const Layer& layer, Features features) {
  return std::make_unique<PooledStep>(as<Depthwise>(make_conv2d(graph, layout, layer, features)),
                                      as<GlobalPool>(make_pool(graph, layout, *layer.pool, features)));
}

}  // namespace bitwright
