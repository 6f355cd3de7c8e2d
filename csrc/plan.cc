#include "plan.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

namespace bitwright {
namespace {

constexpr size_t kBefore = 64;  // kernels may load a little before the first pixel
constexpr int kPiecesPerThread = 4;
constexpr int kMostInGroup = 4;
constexpr int64_t kGroupedBytes = 1 << 18;  // of weights that all images of a group use before the next

// Those of the kernel, and one more for the halo.
int all_units(const Step& step) { return step.units + (step.fills_halo ? 1 : 0); }

Graph checked(Graph graph) {
  check(graph);
  return graph;
}

}  // namespace

// What one run in flight writes: the arena, how far the share of each thread in each step has been taken, and how many
// units of each step are not yet done.
struct Plan::Context {
  struct alignas(64) Counter {
    std::atomic<int> value{0};
  };

  Context(size_t arena_bytes, size_t scratch_bytes, size_t steps, int threads)
      : arena(arena_bytes + 2 * kBefore), taken(steps * threads), left(steps) {
    for (int t = 0; t < threads; ++t) scratch.emplace_back(scratch_bytes);
  }

  void reset(const std::vector<std::unique_ptr<Step>>& steps) {
    for (Counter& counter : taken) counter.value.store(0, std::memory_order_relaxed);
    for (size_t i = 0; i < steps.size(); ++i) left[i].value.store(all_units(*steps[i]), std::memory_order_relaxed);
  }

  AlignedBytes arena;
  std::vector<AlignedBytes> scratch;
  std::vector<Counter> taken, left;
};

// A context for the duration of a run; made when more runs are in flight than ever before.
class Plan::Lease {
 public:
  explicit Lease(const Plan& plan) : plan_(plan) {
    std::lock_guard lock(plan.contexts_mutex_);
    if (!plan.free_contexts_.empty()) {
      context_ = std::move(plan.free_contexts_.back());
      plan.free_contexts_.pop_back();
    }
    if (!context_)
      context_ = std::make_unique<Context>(plan.arena_bytes(), plan.scratch_bytes_, plan.lowered_.steps.size(), plan.threads());
  }
  ~Lease() {
    std::lock_guard lock(plan_.contexts_mutex_);
    plan_.free_contexts_.push_back(std::move(context_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  Context& operator*() const { return *context_; }

 private:
  const Plan& plan_;
  std::unique_ptr<Context> context_;
};

Plan::Plan(Graph graph, Isa isa, int threads, bool keep_values)
    : graph_(checked(std::move(graph))),
      isa_(isa),
      pool_(threads > 0 ? threads : available_threads()),
      lowered_(lower(graph_, isa, keep_values, pool_)) {
  for (const auto& step : lowered_.steps) scratch_bytes_ = std::max(scratch_bytes_, step->scratch_bytes);
  graph_.nodes.clear();  // the steps have packed copies
  find_group();
  Lease ready(*this);
}

Plan::~Plan() = default;

int64_t Plan::output_bytes() const {
  const Value& out = graph_.values[graph_.output];
  return out.count() * (out.is_float ? 4 : 1);
}

void Plan::fill_halo(uint8_t* arena, const Buffer& buffer) const {
  const Map& map = buffer.map;
  const Halo& halo = buffer.halo;
  auto fill = [&](int y, int x, int count) {
    uint8_t* to = arena + buffer.arena_offset + buffer.origin + y * map.row + x * map.pixel;
    for (int i = 0; i < count; ++i) std::memcpy(to + i * map.pixel, buffer.zero_pixel.data(), map.pixel);
  };
  for (int y = -halo.top; y < map.h + halo.bottom; ++y) {
    if (y < 0 || y >= map.h) {
      fill(y, -halo.left, halo.left + map.w + halo.right);
      continue;
    }
    fill(y, -halo.left, halo.left);
    fill(y, map.w, halo.right);
  }
}

void Plan::run_units(const Step& step, const Buffers& at, uint8_t* arena, int begin, int end) const {
  if (end > step.units) fill_halo(arena, lowered_.layout.buffer(lowered_.layout.place(step.out).buffer));
  if (begin < step.units) step.run(at, begin, std::min(end, step.units));
}

Buffers Plan::buffers(Context& context, const Step& step, const uint8_t* image, int thread) const {
  auto at = [&](int value) { return context.arena.data() + kBefore + lowered_.layout.place(value).offset; };
  auto at_any = [&](int value) { return value >= 0 ? at(value) : nullptr; };
  return {step.in >= 0 ? at(step.in) : image, at_any(step.second), at(step.out), context.scratch[thread].data(), at_any(step.third)};
}

// Each thread works through its own share of the units, where it also was in the layer before, then helps the others.
// Returns when all units are done.
void Plan::run_step(Context& context, const Step& step, size_t index, const uint8_t* image, int thread, int threads) const {
  uint8_t* arena = context.arena.data() + kBefore;
  Buffers at = buffers(context, step, image, thread);
  int units = all_units(step);
  if (threads == 1) return run_units(step, at, arena, 0, units);
  int piece = std::max(1, units / (threads * kPiecesPerThread));
  std::atomic<int>& left = context.left[index].value;
  for (int i = 0; i < threads; ++i) {
    int owner = (thread + i) % threads;
    int first = static_cast<int>(static_cast<int64_t>(units) * owner / threads);
    int last = static_cast<int>(static_cast<int64_t>(units) * (owner + 1) / threads);
    std::atomic<int>& taken = context.taken[index * this->threads() + owner].value;
    while (first + taken.load(std::memory_order_relaxed) < last) {
      int begin = first + taken.fetch_add(piece, std::memory_order_relaxed), end = std::min(begin + piece, last);
      if (begin >= last) break;
      run_units(step, at, arena, begin, end);
      left.fetch_sub(end - begin, std::memory_order_acq_rel);
    }
  }
  wait_for_zero(left);
}

void Plan::run_image(Context& context, const uint8_t* image, int thread, int threads) const {
  for (size_t i = 0; i < lowered_.steps.size(); ++i) run_step(context, *lowered_.steps[i], i, image, thread, threads);
}

void Plan::read_value(const uint8_t* arena, int value, uint8_t* to) const {
  const Value& v = graph_.values[value];
  const Place& place = lowered_.layout.place(value);
  const uint8_t* from = arena + place.offset;
  size_t size = v.is_float ? 4 : 1;
  for (int c = 0; c < place.map.c; ++c)
    for (int y = 0; y < place.map.h; ++y)
      for (int x = 0; x < place.map.w; ++x, to += size)
        std::memcpy(to, from + y * place.map.row + x * place.map.pixel + c * size, size);
  if (v.is_float || v.step == 1) return;
  for (uint8_t* code = to - v.count(); code < to; ++code) *code /= static_cast<uint8_t>(v.step);
}

// Weights are streamed once for a group from where on there are more bytes of them than of values.
void Plan::find_group() {
  int64_t saved = 0, most = 0;
  group_from_ = lowered_.steps.size();
  for (size_t i = lowered_.steps.size(); i-- > 0;) {
    const Step& step = *lowered_.steps[i];
    saved += step.weight_bytes - (step.bytes - step.weight_bytes);
    if (saved > most) most = saved, group_from_ = i;
  }
}

void Plan::run_group(const uint8_t* images, int count, uint8_t* outputs) const {
  std::array<std::optional<Lease>, kMostInGroup> leases;
  for (int i = 0; i < count; ++i) {
    leases[i].emplace(*this);
    for (size_t s = 0; s < group_from_; ++s) run_step(**leases[i], *lowered_.steps[s], s, images + i * image_bytes(), 0, 1);
  }
  for (size_t s = group_from_; s < lowered_.steps.size(); ++s) {
    const Step& step = *lowered_.steps[s];
    int units = all_units(step), pieces = static_cast<int>(step.weight_bytes / kGroupedBytes) + 1;
    int piece = std::max(1, units / pieces);
    for (int begin = 0; begin < units; begin += piece)
      for (int i = 0; i < count; ++i) {
        Context& context = **leases[i];
        Buffers at = buffers(context, step, images + i * image_bytes(), 0);
        run_units(step, at, context.arena.data() + kBefore, begin, std::min(begin + piece, units));
      }
  }
  for (int i = 0; i < count; ++i)
    read_value((**leases[i]).arena.data() + kBefore, graph_.output, outputs + i * output_bytes());
}

void Plan::run_alone(const uint8_t* images, int64_t count, uint8_t* outputs) const {
  for (int64_t i = 0; i < count; i += kMostInGroup)
    run_group(images + i * image_bytes(), static_cast<int>(std::min<int64_t>(kMostInGroup, count - i)), outputs + i * output_bytes());
}

// Threads take whole images, in groups where there are enough, while there is one for each, and share the layers of those
// that are left.
void Plan::run(const uint8_t* images, int64_t count, uint8_t* outputs) const {
  if (threads() == 1) return run_alone(images, count, outputs);
  int64_t apart = count / threads() * threads();
  int64_t group = std::clamp<int64_t>(count / threads() / 2, 1, kMostInGroup);
  std::atomic<int64_t> next{0};
  auto by_groups = [&](int) {
    for (int64_t i = next.fetch_add(group); i < apart; i = next.fetch_add(group))
      run_alone(images + i * image_bytes(), std::min(group, apart - i), outputs + i * output_bytes());
  };
  if (apart > 0 && !pool_.try_run(by_groups)) return run_alone(images, count, outputs);
  for (int64_t i = apart; i < count; ++i) {
    Lease lease(*this);
    (*lease).reset(lowered_.steps);
    const uint8_t* image = images + i * image_bytes();
    bool ran = pool_.try_run([&](int thread) { run_image(*lease, image, thread, threads()); });
    if (!ran) run_image(*lease, image, 0, 1);
    read_value((*lease).arena.data() + kBefore, graph_.output, outputs + i * output_bytes());
  }
}

std::vector<StepTime> Plan::time_steps(const uint8_t* image) const {
  using Clock = std::chrono::steady_clock;
  Lease lease(*this);
  (*lease).reset(lowered_.steps);
  std::vector<StepTime> times;
  times.reserve(lowered_.steps.size());
  auto job = [&](int thread) {
    int team = thread < 0 ? 1 : threads();
    for (size_t i = 0; i < lowered_.steps.size(); ++i) {
      auto begin = Clock::now();
      run_step(*lease, *lowered_.steps[i], i, image, std::max(thread, 0), team);
      if (thread <= 0) times.push_back({lowered_.steps[i].get(), std::chrono::duration<double>(Clock::now() - begin).count()});
    }
  };
  if (!pool_.try_run(job)) job(-1);
  return times;
}

std::vector<std::vector<uint8_t>> Plan::values(const uint8_t* image) const {
  Lease lease(*this);
  run_image(*lease, image, 0, 1);
  std::vector<std::vector<uint8_t>> all;
  for (size_t i = 0; i < graph_.values.size(); ++i) {
    const Value& v = graph_.values[i];
    if (v.planes) break;  // packed copies of others come last
    all.emplace_back(v.count() * (v.is_float ? 4 : 1));
    read_value((*lease).arena.data() + kBefore, static_cast<int>(i), all.back().data());
  }
  return all;
}

}  // namespace bitwright
