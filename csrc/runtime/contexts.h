// The memory that runs in flight write. There is a bound to it, however many callers there are: who finds none free waits.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/memory.h"
#include "ops/step.h"

namespace bitwright {

// Units of work: the kernel's, plus one that fills the halo.
inline int all_units(const Step& step) { return step.units + (step.fills_halo ? 1 : 0); }

// What one image in flight writes: the arena, how far the share of each thread in each step has been taken, and how many
// units of each step are not yet done.
class Context {
 public:
  struct alignas(64) Counter {
    std::atomic<int> value{0};
  };

  Context(size_t arena_bytes, size_t scratch_bytes, size_t steps, int threads);
  void reset(const std::vector<std::unique_ptr<Step>>& steps);
  uint8_t* arena() const { return arena_.data() + kBefore; }

  std::vector<AlignedBytes> scratch;  // one for each thread
  std::vector<Counter> taken, left;

 private:
  static constexpr size_t kBefore = 64;  // kernels may load a little before the first pixel

  AlignedBytes arena_;
};

class Contexts {
 public:
  using Make = std::function<std::unique_ptr<Context>()>;

  // Makes the first one at once, so that no run fails for want of memory.
  Contexts(Make make, size_t most);
  size_t made() const;

  // Lends up to `wanted` contexts, those that are free or may be made, but at least one; its destructor returns them.
  class Lease {
   public:
    Lease(Contexts& contexts, size_t wanted);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    size_t size() const { return taken_.size(); }
    Context& operator[](size_t i) const { return *taken_[i]; }

   private:
    Contexts& contexts_;
    std::vector<std::unique_ptr<Context>> taken_;
  };

 private:
  bool may_grow() const { return made_ < most_; }
  bool grow();

  Make make_;
  size_t most_, made_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Context>> free_;
  std::vector<std::vector<std::unique_ptr<Context>>> lists_;  // what leases kept theirs in, so that no further run allocates
};

}  // namespace bitwright
