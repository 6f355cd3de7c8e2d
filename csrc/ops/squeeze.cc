#include "ops/squeeze.h"

#include "ops/elementwise.h"
#include "ops/pool.h"
#include "ops/weighted.h"

namespace bitwright {
namespace {

constexpr int kStripPixels = 112;
constexpr int64_t kL1Bytes = 32 << 10;

using Scale = KernelStep<ElementwiseParams>;
using Pointwise = KernelStep<IgemmParams>;
using Depthwise = KernelStep<DepthwiseParams>;
using GlobalPool = KernelStep<PoolParams>;

struct Strips {
  int rows, count;
};

Strips strips_of(const Value& x) {
  Extent e = extent(x);
  int count = (e.h * e.w + kStripPixels - 1) / kStripPixels, rows = (e.h + count - 1) / count;
  return {rows, (e.h + rows - 1) / rows};
}

class ScaledStep : public Step {
 public:
  ScaledStep(std::unique_ptr<Scale> scale, std::unique_ptr<Pointwise> conv, Strips strips)
      : scale_(std::move(scale)), conv_(std::move(conv)), strip_rows_(strips.rows) {
    name = conv_->name, op = conv_->op, kernel = conv_->kernel + ", input scaled", isa = conv_->isa;
    macs = conv_->macs, weight_bytes = conv_->weight_bytes;
    operands = {{Role::codes, scale_->value(Role::codes)}, {Role::factor, scale_->value(Role::factor)}};
    for (Operand operand : conv_->operands)
      if (operand.role != Role::codes) operands.push_back(operand);
    const Map& map = conv_->params.in;
    bytes = scale_->bytes + conv_->bytes - 2 * static_cast<int64_t>(map.h) * map.w * map.c;
    strip_bytes_ = (strip_rows_ * map.row + kSlack + kCacheLine - 1) / kCacheLine * kCacheLine;
    units = strips.count, scratch_bytes = strip_bytes_ + conv_->scratch_bytes;
  }

  // Each strip is scaled into scratch memory and read there, while it is in the cache.
  void run(const Memory& at, int begin, int end) const noexcept override {
    ElementwiseParams scale = scale_->params;
    IgemmParams conv = conv_->params;
    conv.strip = true;
    for (int i = begin; i < end; ++i) {
      int y = i * strip_rows_, rows = std::min(strip_rows_, conv_->params.in.h - y);
      for (Map* map : {&scale.in, &scale.out, &conv.in, &conv.second, &conv.out}) map->h = rows;
      scale_->run_all(scale, {at[Role::codes] + y * scale.in.row, at[Role::factor], at.scratch, nullptr});
      conv_->run_all(conv, {at.scratch, at[Role::residual] + y * conv.second.row, at[Role::output] + y * conv.out.row,
                            at.scratch + strip_bytes_});
    }
  }

  std::vector<std::span<const uint8_t>> packed() const override {
    auto all = scale_->packed(), more = conv_->packed();
    all.insert(all.end(), more.begin(), more.end());
    return all;
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
    operands = conv_->operands;
    operands.push_back({Role::pooled, pool_->out()});
    units = pool_->units, pieces_ = conv_->units / units;
  }

  void run(const Memory& at, int begin, int end) const noexcept override {
    Memory of_pool;
    of_pool[Role::codes] = at[Role::output], of_pool[Role::output] = at[Role::pooled];
    for (int block = begin; block < end; ++block) {
      conv_->run(at, block * pieces_, (block + 1) * pieces_);
      pool_->run(of_pool, block, block + 1);
    }
  }

  std::vector<std::span<const uint8_t>> packed() const override {
    auto all = conv_->packed(), more = pool_->packed();
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

 private:
  std::unique_ptr<Depthwise> conv_;
  std::unique_ptr<GlobalPool> pool_;
  int pieces_;  // units of the convolution, of a block of channels
};

}  // namespace

bool scales_in_strips(const Value& x, int threads) { return strips_of(x).count >= threads; }

std::unique_ptr<Step> make_scaled(const Binding& binding) {
  const Layer& scale = *binding.layer.scale;
  return std::make_unique<ScaledStep>(make_mul({binding.graph, binding.layout, scale, binding.features}),
                                      make_igemm(binding, conv_window(*binding.layer.node), 1),
                                      strips_of(binding.graph.values[scale.operand(Role::codes)]));
}

bool pools_in_blocks(const Value& map, int threads) {
  Extent e = extent(map);
  int blocks = (e.c + kPoolBlock - 1) / kPoolBlock;
  int most = (blocks + threads - 1) / threads * kPoolBlock;  // channels of a thread
  return int64_t{e.h} * e.w * kPoolBlock <= kL1Bytes && (threads == 1 || 4 * most * threads <= 5 * e.c);
}

std::unique_ptr<Step> make_pooled(const Binding& binding) {
  const Node& node = *binding.layer.node;
  return std::make_unique<PooledStep>(
      make_depthwise(binding, conv_window(node), node.attrs.at("groups")[0]),
      make_pool({binding.graph, binding.layout, *binding.layer.pool, binding.features}, Pool::global_average));
}

}  // namespace bitwright
