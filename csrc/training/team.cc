#include "training/team.h"

#include <algorithm>
#include <atomic>

#if defined(__unix__) && !defined(__SANITIZE_THREAD__)
#include <dlfcn.h>
#define BITWRIGHT_OPENMP 1
#endif

namespace bitwright {
namespace {

struct Work {
  const std::function<void(size_t)>& job;
  size_t count;
  std::atomic<size_t> next{0};
};

void take_pieces(void* data) {
  Work& work = *static_cast<Work*>(data);
  for (size_t i; (i = work.next.fetch_add(1, std::memory_order_relaxed)) < work.count;) work.job(i);
}

// What compilers call for `#pragma omp parallel`: GNU's OpenMP has it, and LLVM's and Intel's for the sake of its programs.
using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);

Parallel openmp() {
#ifdef BITWRIGHT_OPENMP
  static const Parallel found = reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  return found;
#else
  return nullptr;
#endif
}

}  // namespace

void share(size_t count, int threads, const std::function<void(size_t)>& job) {
  Work work{job, count};
  auto members = static_cast<unsigned>(std::min<size_t>(count, threads < 1 ? 1 : static_cast<size_t>(threads)));
  Parallel parallel = members > 1 ? openmp() : nullptr;
  if (parallel)
    parallel(take_pieces, &work, members, 0);
  else
    take_pieces(&work);
}

}  // namespace bitwright
