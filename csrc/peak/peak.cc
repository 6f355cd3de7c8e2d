#include "peak.h"

#include <algorithm>
#include <chrono>

#include "../isa.h"

namespace bitwright {
namespace {

constexpr int kRounds = 5000, kRepeats = 20;

PeakLoop loop_of(Isa isa) {
#ifdef BITWRIGHT_X86
  constexpr PeakLoop kLoops[] = {peak_scalar, peak_avx2, peak_avxvnni, peak_avx512vnni, peak_amx};
  return kLoops[static_cast<int>(isa)];
#else
  static_cast<void>(isa);
  return peak_scalar;
#endif
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

double measured_peak(Isa isa) { return fastest(loop_of(isa)); }

double measured_clock() { return fastest(add_chain); }

double measured_bit_peak(Isa isa) {
#ifdef BITWRIGHT_X86
  if (isa >= Isa::avx512vnni && has_vpopcntdq()) return fastest(peak_avx512vnni_popcnt);
#endif
  static_cast<void>(isa);
  return 0;
}

}  // namespace bitwright
