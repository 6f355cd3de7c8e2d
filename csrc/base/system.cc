#include "base/system.h"

#include <algorithm>

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace bitwright {

int allowed_cpus() {
#ifdef __linux__
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) return std::max(1, CPU_COUNT(&mask));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int keep_off_this_cpu([[maybe_unused]] std::vector<std::thread>& workers, int last) {
#ifdef __linux__
  int cpu = sched_getcpu();
  if (cpu == last || cpu < 0) return last;
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) < 2) return last;
  CPU_CLR(cpu, &allowed);
  for (auto& worker : workers) pthread_setaffinity_np(worker.native_handle(), sizeof(allowed), &allowed);
  return cpu;
#else
  return last;
#endif
}

void advise_huge_pages([[maybe_unused]] void* begin, [[maybe_unused]] size_t bytes) {
#ifdef __linux__
  madvise(begin, bytes, MADV_HUGEPAGE);
#endif
}

bool may_use_tiles() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

ArmFeatures arm_features() {
#if defined(__linux__) && defined(__aarch64__)
  constexpr unsigned long kAsimdDp = 1ul << 20, kI8mm = 1ul << 13;  // of HWCAP and of HWCAP2, as Linux numbers them
  return {(getauxval(AT_HWCAP) & kAsimdDp) != 0, (getauxval(AT_HWCAP2) & kI8mm) != 0};
#elif defined(__APPLE__) && defined(__aarch64__)
  auto has = [](const char* name) {
    int found = 0;
    size_t bytes = sizeof(found);
    return sysctlbyname(name, &found, &bytes, nullptr, 0) == 0 && found != 0;
  };
  return {has("hw.optional.arm.FEAT_DotProd"), has("hw.optional.arm.FEAT_I8MM")};
#else
  return {};
#endif
}

}  // namespace bitwright
