// Code in headers that is compiled for several targets lies in a namespace of the target, which the build names for each file:
// so `take_pixels` for AVX2 and for AVX-512 are two functions, and the linker cannot give one's code to the other's callers.
#pragma once

#ifndef BITWRIGHT_TARGET
#define BITWRIGHT_TARGET portable
#endif

#define BITWRIGHT_INLINE __attribute__((always_inline))
