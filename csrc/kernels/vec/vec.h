// `Vec`: the vectors of the target that a file is compiled for, under one set of names, for families whose algorithm is the
// same on all of them (pool, elementwise, bitpack, grouped, table). A kernel is then one template or class over `Vec` in its
// family's folder, and a file of a few lines for each target.
//
//   Bytes, Ints, Floats   a vector of kBytes codes, of kLanes int32, of kLanes float32
//   Mask                  a bit for each byte of a vector
//   Table                 256 codes, looked up a vector at a time
//
// Floats have the operators of numbers; nothing is contracted, so t = x * m + b rounds twice, as docs/arithmetic.md wants it.
// igemm, bitgemm, depthwise and their epilogues differ in algorithm from target to target and use intrinsics.
#pragma once

#if defined(__AVX512BW__)
#include "kernels/vec/avx512.h"
namespace bitwright {
inline namespace BITWRIGHT_TARGET {
using Vec = Vec512;
}
}  // namespace bitwright
#elif defined(__AVX2__)
#include "kernels/vec/avx2.h"
namespace bitwright {
inline namespace BITWRIGHT_TARGET {
using Vec = Vec256;
}
}  // namespace bitwright
#elif defined(BITWRIGHT_NEON)
#include "kernels/vec/neon.h"
namespace bitwright {
inline namespace BITWRIGHT_TARGET {
using Vec = Vec128;
}
}  // namespace bitwright
#else
#error "no vectors are known for this target; scalar rows are plain loops, which the others are tested against"
#endif
