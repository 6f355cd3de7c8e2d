#include "base/fork.h"

#ifdef __unix__
#include <pthread.h>
#endif

namespace bitwright {
namespace {

std::atomic<unsigned> forks{0};

#ifdef __unix__
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
#endif

}  // namespace

unsigned fork_count() { return forks.load(std::memory_order_relaxed); }

}  // namespace bitwright
