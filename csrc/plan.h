// A graph made ready to run: steps, one arena for each run in flight, and threads. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "lower.h"
#include "threads.h"

namespace bitwright {

struct StepTime {
  const Step* step;
  double seconds;
};

class Plan {
 public:
  // Checks the graph first (std::invalid_argument). threads = 0: as many as the process may use.
  Plan(Graph graph, Isa isa, int threads, bool keep_values);
  ~Plan();

  // `images`: count of them, each H, W, C pixels without gaps. `outputs`: the graph's output of each, in PyTorch's
  // order, float32 or codes.
  void run(const uint8_t* images, int64_t count, uint8_t* outputs) const;

  // One image; the seconds spent in each step.
  std::vector<StepTime> time_steps(const uint8_t* image) const;

  // Of a plan that keeps values: what each value is for one image, in PyTorch's order.
  std::vector<std::vector<uint8_t>> values(const uint8_t* image) const;

  const Graph& graph() const { return graph_; }
  int threads() const { return pool_.threads(); }
  Isa isa() const { return isa_; }
  size_t arena_bytes() const { return lowered_.layout.arena_bytes(); }
  int64_t image_bytes() const { return graph_.values[0].count(); }
  int64_t output_bytes() const;

 private:
  struct Context;
  class Lease;

  void run_step(Context& context, const Step& step, size_t index, const uint8_t* image, int thread, int threads) const;
  void run_image(Context& context, const uint8_t* image, int thread, int threads) const;
  void run_units(const Step& step, const Buffers& at, uint8_t* arena, int begin, int end) const;
  void fill_halo(uint8_t* arena, const Buffer& buffer) const;
  void read_value(const uint8_t* arena, int value, uint8_t* to) const;
  void find_group();
  void run_group(const uint8_t* images, int count, uint8_t* outputs) const;
  void run_alone(const uint8_t* images, int64_t count, uint8_t* outputs) const;
  Buffers buffers(Context& context, const Step& step, const uint8_t* image, int thread) const;

  Graph graph_;
  Isa isa_;
  mutable ThreadPool pool_;
  Lowered lowered_;
  size_t scratch_bytes_ = 0;
  size_t group_from_ = 0;  // the step from which on the images of a group go together
  mutable std::mutex contexts_mutex_;
  mutable std::vector<std::unique_ptr<Context>> free_contexts_;
};

}  // namespace bitwright
