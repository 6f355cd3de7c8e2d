#include "kernels/peak/peak.h"

#include <algorithm>
#include <chrono>

#include "kernels/peak/loops.h"

namespace bitwright {
namespace {

constexpr int kRounds = 5000, kRepeats = 20;

PeakLoop loop_of(Features features) {
#ifdef BITWRIGHT_X86
  if (has(features, kAmxInt8)) return peak_amx;
  if (has(features, kAvx512Vnni)) return peak_avx512vnni;
  if (has(features, kAvxVnni)) return peak_avxvnni;
  if (has(features, kAvx2)) return peak_avx2;
#endif
  static_cast<void>(features);
  return peak_scalar;
}

double fastest(PeakLoop loop) {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int i = 0; i < kRepeats; ++i) {
    auto begin = Clock::now();
    auto macs = static_cast<double>(loop(kRounds));
    best = std::max(best, macs / std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

}  // namespace

double measured_peak(Features features) { return fastest(loop_of(features)); }

double measured_clock() { return fastest(add_chain); }

double measured_bit_peak(Features features) {
#ifdef BITWRIGHT_X86
  if (has(features, kAvx512Vpopcntdq)) return fastest(peak_avx512popcnt);
#endif
  static_cast<void>(features);
  return 0;
}

}  // namespace bitwright
