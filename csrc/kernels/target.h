// Code in headers that is compiled for several targets lies in a namespace of the target, which the build names for each file:
// so `locate_pixels` for AVX2 and for AVX-512 are two functions, and the linker cannot give one's code to the other's callers.
#pragma once

#ifndef BITWRIGHT_TARGET
#define BITWRIGHT_TARGET portable
#endif

// Where there is a `Vec` (kernels/vec). Every aarch64 has vectors, so the build says which files are to use them:
// BITWRIGHT_NEON.
#if defined(__AVX2__) || defined(BITWRIGHT_NEON)
#define BITWRIGHT_VECTORS
#endif

#define BITWRIGHT_INLINE __attribute__((always_inline))

// The name of a kernel of a file that is compiled for several targets: norm_avx2, norm_avx512, ..., norm_portable.
#define BITWRIGHT_KERNEL(family) BITWRIGHT_OF_TARGET(family, BITWRIGHT_TARGET)
#define BITWRIGHT_OF_TARGET(family, target) BITWRIGHT_JOINED(family, target)
#define BITWRIGHT_JOINED(family, target) family##_##target
