// A small persistent pool of threads and the barrier they meet at. Layers last microseconds, so waiting threads spin
// before they sleep.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace bitwright {

// How many threads this process may really use: its affinity mask and its cgroup's CPU quota.
int available_threads();

class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}
  void wait();

 private:
  const int threads_;
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> phase_{0};
};

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs job(0) here and job(1..threads-1) on the workers; false, without having run anything, if the pool is busy.
  bool try_run(const std::function<void(int)>& job);

 private:
  void work(int index);

  std::vector<std::thread> workers_;
  std::mutex busy_;
  const std::function<void(int)>* job_ = nullptr;
  std::atomic<unsigned> epoch_{0};
  std::atomic<int> running_{0};
  bool stop_ = false;
};

}  // namespace bitwright
