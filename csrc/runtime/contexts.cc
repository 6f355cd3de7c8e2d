#include "runtime/contexts.h"

#include <new>

namespace bitwright {

Context::Context(size_t arena_bytes, size_t scratch_bytes, size_t steps, int threads)
    : taken(steps * threads), left(steps), arena_(arena_bytes + 2 * kBefore) {
  for (int t = 0; t < threads; ++t) scratch.emplace_back(scratch_bytes);
}

void Context::reset(const std::vector<std::unique_ptr<Step>>& steps) {
  for (Counter& counter : taken) counter.value.store(0, std::memory_order_relaxed);
  for (size_t i = 0; i < steps.size(); ++i) left[i].value.store(all_units(*steps[i]), std::memory_order_relaxed);
}

Contexts::Contexts(Make make, size_t most) : make_(std::move(make)), most_(most) {
  free_.reserve(most);
  lists_.reserve(most);
  free_.push_back(make_());
  made_ = 1;
}

size_t Contexts::made() const {
  std::lock_guard lock(mutex_);
  return made_;
}

// False where there is no memory for one more.
bool Contexts::grow() {
  try {
    free_.push_back(make_());
  } catch (const std::bad_alloc&) {
    return false;
  }
  ++made_;
  return true;
}

// Takes all that it gets at once, so nobody waits for contexts while holding some. Who holds none has no list either: there are
// at most as many lists as contexts.
Contexts::Lease::Lease(Contexts& contexts, size_t wanted) : contexts_(contexts) {
  std::unique_lock lock(contexts.mutex_);
  contexts.returned_.wait(lock, [&] { return !contexts.free_.empty() || (contexts.may_grow() && contexts.grow()); });
  if (!contexts.lists_.empty()) taken_ = std::move(contexts.lists_.back()), contexts.lists_.pop_back();
  taken_.reserve(wanted);
  do {
    taken_.push_back(std::move(contexts.free_.back()));
    contexts.free_.pop_back();
  } while (taken_.size() < wanted && (!contexts.free_.empty() || (contexts.may_grow() && contexts.grow())));
}

Contexts::Lease::~Lease() {
  {
    std::lock_guard lock(contexts_.mutex_);
    // Last first, so that the next caller gets them in this order: what a thread wrote is still in its caches.
    while (!taken_.empty()) {
      contexts_.free_.push_back(std::move(taken_.back()));
      taken_.pop_back();
    }
    contexts_.lists_.push_back(std::move(taken_));
  }
  contexts_.returned_.notify_all();
}

}  // namespace bitwright
