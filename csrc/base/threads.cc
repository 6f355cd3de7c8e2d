#include "base/threads.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include "base/system.h"
#ifdef BITWRIGHT_X86
#include <immintrin.h>
#endif

namespace bitwright {
namespace {

// A pause lasts 20 to 50 ns.
constexpr int kSpinsBeforeYield = 1 << 9;
constexpr int kSpinsBeforeSleep = 1 << 12;

inline void pause() {
#ifdef BITWRIGHT_X86
  _mm_pause();
#elif defined(BITWRIGHT_ARM) && defined(__GNUC__)
  __asm__ volatile("yield");
#endif
}

// The number of whole CPUs that "quota period" of a cgroup allows, or `all` without a limit.
int cgroup_threads(int all) {
  std::string quota;
  double period = 0;
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  if (!(v2 >> quota >> period)) {
    std::ifstream quota_v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), period_v1("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    if (!(quota_v1 >> quota) || !(period_v1 >> period)) return all;
  }
  double allowed = std::strtod(quota.c_str(), nullptr);  // 0 of "max", and of what is no number
  if (!(allowed > 0) || !(period > 0)) return all;
  return static_cast<int>(std::clamp(allowed / period + 0.99, 1.0, static_cast<double>(all)));
}

}  // namespace

int available_threads() { return cgroup_threads(allowed_cpus()); }

void wait_for_zero(const std::atomic<int>& left) {
  for (int spins = 0; left.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpinsBeforeYield)
      pause();
    else
      std::this_thread::yield();
  }
}

// Where not all can be started, processes or memory are short, and the rest of the program needs some, too: half of them go
// again.
ThreadPool::ThreadPool(int threads) {
  for (int wanted = threads; wanted > 1; wanted = (static_cast<int>(workers_.size()) + 1) / 2) {
    stop();
    try {
      start(wanted);
      return;
    } catch (const std::exception&) {  // system_error, or bad_alloc
    }
  }
  stop();
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::start(int threads) {
  stop_ = false;
  workers_.reserve(threads - 1);
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

void ThreadPool::stop() {
  stop_ = true;
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (auto& worker : workers_) worker.join();
  workers_.clear();
}

// Linux may wake a worker on the CPU of the one who wakes it, where it then waits until the next tick, 4 ms, with another CPU
// idle. So workers are kept off the caller's CPU, wherever that may be now, and on those that the caller may use.
void ThreadPool::make_way() { callers_cpu_ = keep_off_this_cpu(workers_, callers_cpu_); }

void ThreadPool::Turn::run(const std::function<void(int)>& job) {
  if (threads() == 1) return job(0);
  pool_.run(job);
}

// How a job reaches the workers, and how its end does not miss one:
//
//   caller                                        worker
//   job_ = &job; open_ = true
//   epoch_ += 1 (releases job_)       ------->    sees a new epoch_ (acquires job_)
//   does its part                                 inside_ += 1
//   open_ = false                                 open_?  yes: does its part;  no: nothing
//   waits until inside_ == 0 (acquires) <-----    inside_ -= 1 (releases what it wrote)
//
// open_ and inside_ are sequentially consistent, as a store of one is followed by a load of the other on both sides: either the
// worker finds open_ false, or the caller finds the worker inside and waits. So nobody waits for a worker that never came, and
// none touches a job that is over.
void ThreadPool::run(const std::function<void(int)>& job) {
  make_way();
  job_ = &job;
  open_.store(true);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  attempt(0);
  open_.store(false);
  wait_for_zero(inside_);
  if (failed_.exchange(false)) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::attempt(int index) noexcept {
  try {
    (*job_)(index);
  } catch (...) {
    if (!failed_.exchange(true)) failure_ = std::current_exception();
  }
}

void ThreadPool::work(int index) {
  unsigned seen = 0;
  while (true) {
    for (int spins = 0; epoch_.load(std::memory_order_acquire) == seen && spins < kSpinsBeforeSleep; ++spins) pause();
    epoch_.wait(seen, std::memory_order_acquire);
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_) return;
    inside_.fetch_add(1);  // before the look at open_: either this thread sees it closed, or the closing one waits
    if (open_.load()) attempt(index);
    inside_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace bitwright
