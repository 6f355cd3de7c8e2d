#include "base/fork.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace bitwright {
namespace {

std::atomic<unsigned> forks{0};

#if defined(__unix__) || defined(__APPLE__)
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
#endif

}  // namespace

unsigned fork_count() { return forks.load(std::memory_order_relaxed); }

}  // namespace bitwright
