// The loops that peaks are measured with, one for each target.
#pragma once

#include <cstdint>

namespace bitwright {

// Does `rounds` rounds of independent multiply-adds; returns how many that is.
using PeakLoop = int64_t (*)(int rounds);
#ifdef BITWRIGHT_X86
int64_t peak_avx2(int rounds);
int64_t peak_avxvnni(int rounds);
int64_t peak_avx512vnni(int rounds);
int64_t peak_avx512popcnt(int rounds);
int64_t peak_amx(int rounds);
#endif
int64_t peak_scalar(int rounds);
int64_t add_chain(int rounds);  // returns how many cycles it takes

}  // namespace bitwright
