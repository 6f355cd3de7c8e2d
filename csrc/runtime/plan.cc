#include "runtime/plan.h"

#include <algorithm>
#include <chrono>
#include <functional>

#include "ops/check.h"

namespace bitwright {
namespace {

constexpr int kPiecesPerThread = 4;
constexpr int kMostTogether = 4;
constexpr int64_t kTogetherBytes = 1 << 18;  // of weights that images which go together use before the next

Graph checked(Graph graph) {
  check(graph);
  return graph;
}

size_t most_scratch(const Lowered& lowered) {
  size_t most = 0;
  for (const auto& step : lowered.steps) most = std::max(most, step->scratch_bytes);
  return most;
}

// A value as a caller gets it.
int64_t bytes_of(const Value& value) { return value.count() * (value.is_float ? 4 : 1); }

}  // namespace

// Contexts for the images of one caller with all threads, and one for each of so many more as can run at the same time.
Plan::Plan(Graph graph, Features features, int threads, bool keep_values, int check_weights)
    : graph_(checked(std::move(graph))),
      features_(features),
      threads_(threads > 0 ? threads : available_threads()),
      pool_([this] { return std::make_unique<ThreadPool>(threads_); }),
      lowered_(lowered(keep_values)),
      scratch_bytes_(most_scratch(lowered_)),
      contexts_([this] {
        auto make = [this] {
          return std::make_unique<Context>(arena_bytes(), scratch_bytes_, lowered_.steps.size(), threads_);
        };
        return std::make_unique<Contexts>(make, static_cast<size_t>(threads_) * kMostTogether + available_threads());
      }) {
  graph_.nodes.clear();  // the steps have packed copies
  find_together();
  if (check_weights > 0) weight_check_ = std::make_unique<WeightCheck>(lowered_.steps, check_weights);
}

Lowered Plan::lowered(bool keep_values) {
  ThreadPool& pool = pool_.here();
  threads_ = pool.threads();  // how many could be started; no child of fork() starts more
  return lower(graph_, features_, keep_values, pool);
}

Plan::~Plan() = default;

int64_t Plan::output_bytes() const {
  int64_t bytes = 0;
  for (int output : graph_.outputs) bytes += bytes_of(graph_.values[output]);
  return bytes;
}

void Plan::read_outputs(const Context& context, uint8_t* to) const {
  for (int output : graph_.outputs) {
    read_value(context, output, to);
    to += bytes_of(graph_.values[output]);
  }
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

void Plan::run_units(const Step& step, const Memory& at, uint8_t* arena, int begin, int end) const {
  if (end > step.units) fill_halo(arena, lowered_.layout.buffer(lowered_.layout.location(step.out()).buffer));
  if (begin < step.units) step.run(at, begin, std::min(end, step.units));
}

Memory Plan::memory(Context& context, const Step& step, const uint8_t* image, int thread) const {
  Memory at;
  at.image = image;
  at.scratch = context.scratch[thread].data();
  int summands = 0;
  for (const Operand& operand : step.operands) {
    uint8_t* address = context.arena() + lowered_.layout.location(operand.value).offset;
    at[operand.role] = address;
    if (operand.role == Role::summand) at.summands[summands++] = address;
  }
  return at;
}

// Each thread works through its own share of the units, which lies where its share of the step before did, then helps the
// others. Returns when all units are done. Two threads, and how the outputs of a step reach both:
//
//   thread A   taken += piece   writes outputs   left -= piece (releases them)          left == 0 (acquires)   next step reads
//   thread B   taken += piece            writes outputs           left -= piece (releases)   left == 0 (acquires)   reads
//
// `taken` only hands out numbers, so its order is relaxed: a unit goes to one thread, which reads nothing because of it. `left`
// publishes the outputs: its subtractions are read-modify-writes, so one that comes after another goes on with what that one
// released, and whoever sees 0 sees what every thread has written.
void Plan::run_step(Context& context, const Step& step, size_t index, const uint8_t* image, int thread, int threads) const {
  uint8_t* arena = context.arena();
  Memory at = memory(context, step, image, thread);
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

void Plan::read_value(const Context& context, int value, uint8_t* to) const {
  const Value& v = graph_.values[value];
  const Location& location = lowered_.layout.location(value);
  const uint8_t* from = context.arena() + location.offset;
  const Map& map = location.map;
  size_t size = v.is_float ? 4 : 1;
  int outer = 1;  // pixels differ in axes before the channel, and in axes behind it
  for (int d = 0; d < v.channel; ++d) outer *= v.shape[d];
  int inner = map.h * map.w / outer;
  for (int o = 0; o < outer; ++o)
    for (int c = 0; c < map.c; ++c)
      for (int pixel = o * inner; pixel < (o + 1) * inner; ++pixel, to += size)
        std::memcpy(to, from + pixel / map.w * map.row + pixel % map.w * map.pixel + c * size, size);
  if (v.is_float || v.step == 1) return;
  for (uint8_t* code = to - v.count(); code < to; ++code) *code /= static_cast<uint8_t>(v.step);
}

// Sets the step from which on weights are read once for several images: where the rest has more bytes of them than of
// values.
void Plan::find_together() {
  int64_t saved = 0, most = 0;
  together_from_ = lowered_.steps.size();
  for (size_t i = lowered_.steps.size(); i-- > 0;) {
    const Step& step = *lowered_.steps[i];
    saved += step.weight_bytes - (step.bytes - step.weight_bytes);
    if (saved > most) most = saved, together_from_ = i;
  }
}

void Plan::run_together(const Contexts::Lease& lease, size_t first, const uint8_t* images, int count, uint8_t* outputs) const {
  for (int i = 0; i < count; ++i)
    for (size_t s = 0; s < together_from_; ++s)
      run_step(lease[first + i], *lowered_.steps[s], s, images + i * image_bytes(), 0, 1);
  for (size_t s = together_from_; s < lowered_.steps.size(); ++s) {
    const Step& step = *lowered_.steps[s];
    int units = all_units(step), pieces = static_cast<int>(step.weight_bytes / kTogetherBytes) + 1;
    int piece = std::max(1, units / pieces);
    for (int begin = 0; begin < units; begin += piece)
      for (int i = 0; i < count; ++i) {
        Context& context = lease[first + i];
        Memory at = memory(context, step, images + i * image_bytes(), 0);
        run_units(step, at, context.arena(), begin, std::min(begin + piece, units));
      }
  }
  for (int i = 0; i < count; ++i) read_outputs(lease[first + i], outputs + i * output_bytes());
}

// Threads take whole images, as many together as the contexts allow.
void Plan::run_sets(ThreadPool::Turn& turn, const Contexts::Lease& lease, const uint8_t* images, int64_t count,
                    uint8_t* outputs) const {
  int64_t together = static_cast<int64_t>(lease.size()) / turn.threads();
  std::atomic<int64_t> next{0};
  auto job = [&](int thread) {
    for (int64_t i = next.fetch_add(together); i < count; i = next.fetch_add(together))
      run_together(lease, thread * together, images + i * image_bytes(), static_cast<int>(std::min(together, count - i)),
                   outputs + i * output_bytes());
  };
  turn.run(std::ref(job));  // of which a std::function allocates no copy
}

void Plan::run_shared(ThreadPool::Turn& turn, Context& context, const uint8_t* image, uint8_t* output) const {
  context.reset(lowered_.steps);
  auto job = [&](int thread) { run_image(context, image, thread, turn.threads()); };
  turn.run(std::ref(job));
  read_outputs(context, output);
}

// Threads take whole images while there is one for each, and share the layers of those that are left. All memory is there
// before the first of them begins.
void Plan::run_unchecked(const uint8_t* images, int64_t count, uint8_t* outputs) const {
  ThreadPool::Turn turn(pool_.here());
  int64_t threads = turn.threads(), apart = count / threads * threads;
  int64_t together = std::clamp<int64_t>(threads == 1 ? count : count / threads / 2, 1, kMostTogether);
  Contexts::Lease lease(contexts_.here(), apart > 0 ? threads * together : 1);
  if (static_cast<int64_t>(lease.size()) < threads) apart = 0;
  if (apart > 0) run_sets(turn, lease, images, apart, outputs);
  for (int64_t i = apart; i < count; ++i) run_shared(turn, lease[0], images + i * image_bytes(), outputs + i * output_bytes());
}

void Plan::run(const uint8_t* images, int64_t count, uint8_t* outputs) const {
  if (count == 0) return;
  if (weight_check_) weight_check_->before_call();
  run_unchecked(images, count, outputs);
}

std::vector<StepTime> Plan::time_steps(const uint8_t* image) const {
  using Clock = std::chrono::steady_clock;
  ThreadPool::Turn turn(pool_.here());
  Contexts::Lease lease(contexts_.here(), 1);
  lease[0].reset(lowered_.steps);
  std::vector<StepTime> times;
  times.reserve(lowered_.steps.size());
  turn.run([&](int thread) {
    for (size_t i = 0; i < lowered_.steps.size(); ++i) {
      auto begin = Clock::now();
      run_step(lease[0], *lowered_.steps[i], i, image, thread, turn.threads());
      if (thread == 0) times.push_back({lowered_.steps[i].get(), std::chrono::duration<double>(Clock::now() - begin).count()});
    }
  });
  return times;
}

std::vector<std::vector<uint8_t>> Plan::values(const uint8_t* image) const {
  Contexts::Lease lease(contexts_.here(), 1);
  run_image(lease[0], image, 0, 1);
  std::vector<std::vector<uint8_t>> all;
  for (size_t i = 0; i < graph_.values.size(); ++i) {
    const Value& v = graph_.values[i];
    if (v.planes) break;  // packed copies of others come last
    all.emplace_back(v.count() * (v.is_float ? 4 : 1));
    read_value(lease[0], static_cast<int>(i), all.back().data());
  }
  return all;
}

}  // namespace bitwright
