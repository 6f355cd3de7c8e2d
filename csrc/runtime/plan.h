// A graph made ready to run: steps, one arena for each run in flight, and threads. Thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "base/fork.h"
#include "base/threads.h"
#include "planning/lower.h"
#include "runtime/contexts.h"
#include "runtime/weight_check.h"

namespace bitwright {

struct StepTime {
  const Step* step;
  double seconds;
};

class Plan {
 public:
  // Checks the graph first (std::invalid_argument). threads = 0: as many as the process may use. check_weights: in so many
  // calls of `run` all packed weights are compared with their checksums; 0: never.
  Plan(Graph graph, Features features, int threads, bool keep_values, int check_weights = 0);
  ~Plan();

  // `images`: count of them, each H, W, C pixels without gaps. `outputs`: the graph's outputs of each one, in PyTorch's
  // order, float32 or codes. Throws std::runtime_error where packed weights have changed in memory.
  void run(const uint8_t* images, int64_t count, uint8_t* outputs) const;

  // One image; the seconds spent in each step.
  std::vector<StepTime> time_steps(const uint8_t* image) const;

  // Every value of one image, in PyTorch's order; only for a plan that keeps values.
  std::vector<std::vector<uint8_t>> values(const uint8_t* image) const;

  const Steps& steps() const { return lowered_.steps; }
  const Graph& graph() const { return graph_; }
  int threads() const { return threads_; }
  size_t contexts() const { return contexts_.here().made(); }  // how many have been made; their number is bounded
  Features features() const { return features_; }
  size_t arena_bytes() const { return lowered_.layout.arena_bytes(); }
  const Value& image() const { return graph_.values[graph_.image()]; }
  int64_t image_bytes() const { return image().count() / image().channels() * graph_.pixel_channels(); }
  int64_t output_bytes() const;

 private:
  Lowered lowered(bool keep_values);
  void run_step(Context& context, const Step& step, size_t index, const uint8_t* image, int thread, int threads) const;
  void run_image(Context& context, const uint8_t* image, int thread, int threads) const;
  void run_units(const Step& step, const Memory& at, uint8_t* arena, int begin, int end) const;
  void fill_halo(uint8_t* arena, const Buffer& buffer) const;
  void read_outputs(const Context& context, uint8_t* to) const;
  void read_value(const Context& context, int value, uint8_t* to) const;
  void find_together();
  void run_unchecked(const uint8_t* images, int64_t count, uint8_t* outputs) const;
  void run_together(const Contexts::Lease& lease, size_t first, const uint8_t* images, int count, uint8_t* outputs) const;
  void run_sets(ThreadPool::Turn& turn, const Contexts::Lease& lease, const uint8_t* images, int64_t count,
                uint8_t* outputs) const;
  void run_shared(ThreadPool::Turn& turn, Context& context, const uint8_t* image, uint8_t* output) const;
  Memory memory(Context& context, const Step& step, const uint8_t* image, int thread) const;

  Graph graph_;
  Features features_;
  int threads_;
  PerProcess<ThreadPool> pool_;
  Lowered lowered_;
  size_t scratch_bytes_;
  size_t together_from_ = 0;  // the step from which on several images go together
  PerProcess<Contexts> contexts_;
  std::unique_ptr<WeightCheck> weight_check_;  // null: never
};

}  // namespace bitwright
