// The loops of `finish.h` over the rows of a piece, compiled for several sets of vectors (`every_target.cc`). All give the same
// numbers: a column's sums are its own, in the order of the rows, whatever is computed beside it.
#pragma once

#include "kernels/target.h"
#include "training/finish.h"

namespace bitwright {

// Columns that rows are a multiple of: the widest vector's.
constexpr size_t kColumns = 16;

// The parameters of each column of a row.
struct Columns {
  const float *mean, *gain, *shift, *slope, *after;  // [width]
};

template <class T>
struct FinishLoops {
  void (*moments)(const T* x, size_t rows, size_t width, const float* centre, float* sums, float* squares);
  void (*forward)(const T* x, const T* residual, T* y, size_t rows, size_t width, const Columns& columns, const Finish& how);
  // sums [5, width]: of dL/dz, of dL/dz * (x - mean), of what reaches slope, after and the scale
  void (*backward)(const T* x, const T* residual, const T* gradient, T* dz, size_t rows, size_t width, const Columns& columns,
                   const Finish& how, float* sums);
  void (*affine)(const T* dz, const T* x, T* dx, size_t rows, size_t width, const float* mean, const float* a, const float* b,
                 const float* c);
};

struct Loops {
  FinishLoops<float> of_floats;
  FinishLoops<uint16_t> of_bfloats;
};

// Those of any machine, and of the sets of vectors that files are compiled for; a machine has some of them.
extern const Loops loops_portable, loops_avx2, loops_avx512, loops_neon;

}  // namespace bitwright
