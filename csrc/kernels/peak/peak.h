// What this machine can do at most: int8 multiply-adds a second of one thread, measured with registers alone. It is the
// measure for the kernels in `explain` and the benchmarks.
#pragma once

#include "kernels/features.h"

namespace bitwright {

// Multiply-adds a second with the best instruction of `features` for them; takes about a millisecond.
double measured_peak(Features features);

// One-bit multiply-adds a second with XOR, VPOPCNTD and VPADDD, three instructions for 512; 0 where they are not to be had.
double measured_bit_peak(Features features);

// Cycles a second, by additions that wait for each other: one takes a cycle.
double measured_clock();

}  // namespace bitwright
