// A small persistent pool of threads. Layers last microseconds, so waiting threads spin before they sleep; and nobody
// waits for a thread that the system has not let run: a job is over when its work is done, not when all have come.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace bitwright {

// How many threads this process may really use: its affinity mask and its cgroup's CPU quota.
int available_threads();

// Waits until `left` is 0: spins, since that is a matter of microseconds, then lets others run.
void wait_for_zero(const std::atomic<int>& left);

class ThreadPool {
 public:
  // Runs on `threads` threads, the caller's included; on fewer where the system has no room for so many.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // The pool, for one caller at a time; who comes while another has it works alone.
  class Turn {
   public:
    explicit Turn(ThreadPool& pool) : pool_(pool), lock_(pool.busy_, std::try_to_lock) {}
    int threads() const { return lock_ ? pool_.threads() : 1; }

    // Runs job(0) here, and job(1..threads-1) on those workers that come before job(0) has returned, which must mean that
    // all work has been taken. When all have left the job, throws again what one of them threw first.
    void run(const std::function<void(int)>& job);

   private:
    ThreadPool& pool_;
    std::unique_lock<std::mutex> lock_;
  };

 private:
  void start(int threads);
  void stop();
  void work(int index);
  void run(const std::function<void(int)>& job);
  void attempt(int index) noexcept;
  void make_way();

  std::vector<std::thread> workers_;
  std::mutex busy_;
  int callers_cpu_ = -1;
  const std::function<void(int)>* job_ = nullptr;
  std::atomic<unsigned> epoch_{0};
  std::atomic<bool> open_{false};
  std::atomic<int> inside_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;  // of the thread that set failed_
  std::atomic<bool> stop_{false};  // a worker that comes late to a job that is over reads it at any time
};

}  // namespace bitwright
