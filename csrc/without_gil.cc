#include "without_gil.h"

#include <atomic>
#include <chrono>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace bitwright {
namespace {

std::atomic<bool> closed{false};
std::atomic<int> asking{0};  // threads that wait for the lock, or are about to
std::thread::id closer;  // written before `closed` is

#if defined(__unix__) || defined(__APPLE__)
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { asking.store(0); });  // they are not here
#endif

[[noreturn]] void sleep_for_ever() {
  while (true) std::this_thread::sleep_for(std::chrono::hours(1));
}

}  // namespace

void take_gil(PyThreadState* state) {
  asking.fetch_add(1);  // before the look at `closed`: either this thread sees it, or the closing one waits
  if (closed.load() && std::this_thread::get_id() != closer) {
    asking.fetch_sub(1);
    sleep_for_ever();
  }
  PyEval_RestoreThread(state);
  asking.fetch_sub(1);
}

void close_interpreter() {
  closer = std::this_thread::get_id();
  closed.store(true);
  PyThreadState* state = PyEval_SaveThread();
  while (asking.load() != 0) std::this_thread::yield();
  PyEval_RestoreThread(state);
}

}  // namespace bitwright
