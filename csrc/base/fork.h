// What a process loses by fork(): the child has one thread, and locks that others held stay locked for ever. So whatever holds
// threads or locks belongs to the process that made it; a child makes its own when it first needs it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

namespace bitwright {

// How many forks lie between this process and the one that loaded the library.
unsigned fork_count();

template <class T>
class PerProcess {
 public:
  using Make = std::function<std::unique_ptr<T>()>;

  explicit PerProcess(Make make) : make_(std::move(make)), here_(new Owned{make_(), fork_count()}) {}
  // The parent's T is left alone, and so is its memory: its threads are not here to be joined.
  ~PerProcess() {
    Owned* owned = here_.load();
    if (owned->process == fork_count()) delete owned;
  }
  PerProcess(const PerProcess&) = delete;
  PerProcess& operator=(const PerProcess&) = delete;

  T& here() const {
    Owned* owned = here_.load(std::memory_order_acquire);
    if (owned->process == fork_count()) return *owned->of_process;
    auto fresh = std::make_unique<Owned>(Owned{make_(), fork_count()});
    if (here_.compare_exchange_strong(owned, fresh.get())) owned = fresh.release();
    return *owned->of_process;  // another thread's, if it was faster
  }

 private:
  struct Owned {
    std::unique_ptr<T> of_process;
    unsigned process;
  };

  Make make_;
  mutable std::atomic<Owned*> here_;
};

}  // namespace bitwright
