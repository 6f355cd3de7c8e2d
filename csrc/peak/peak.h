// What this machine can do at most: int8 multiply-adds a second of one thread, measured with registers alone. It is the
// measure for the kernels in `explain` and the benchmarks.
#pragma once

#include "../kernel.h"

namespace bitwright {

// Multiply-adds a second with the best instruction that `isa` has for them; takes about a millisecond.
double measured_peak(Isa isa);

// One-bit multiply-adds a second with XOR, VPOPCNTD and VPADDD, three instructions for 512; 0 where they are not to be had.
double measured_bit_peak(Isa isa);

// Cycles a second, by additions that wait for each other: one takes a cycle.
double measured_clock();

// Does `rounds` rounds of independent multiply-adds; returns how many that is.
using PeakLoop = int64_t (*)(int rounds);
#ifdef BITWRIGHT_X86
int64_t peak_avx2(int rounds);
int64_t peak_avxvnni(int rounds);
int64_t peak_avx512vnni(int rounds);
int64_t peak_avx512vnni_popcnt(int rounds);
int64_t peak_amx(int rounds);
#endif
int64_t peak_scalar(int rounds);
int64_t add_chain(int rounds);  // returns how many cycles it takes

}  // namespace bitwright
