// Pools: max of the codes inside the image; average t = f32(sum (x - zp)) * m, code = clip(rint(t + out_zp), 0, hi).
#pragma once

#include "kernels/kernel.h"

namespace bitwright {

enum class Pool { max, average, global_average };

// Units are output rows; those of a global average are blocks of so many channels.
constexpr int kPoolBlock = 64;

struct PoolParams {
  Pool pool;
  Map in, out;
  Window window;        // not for global_average; no halo on `in`: windows are clipped to the image
  int zp;               // of input and output codes alike for max
  const float* m;       // average: one, or one for each output pixel
  bool m_per_pixel;
  float out_zp, hi;
  const uint8_t* table;  // applied to the code, or null
  bool to_float;         // store t itself
};

KernelTable<PoolParams> pool_kernels();

#define ROW(symbol, ...) extern const Kernel<PoolParams> symbol;
#include "kernels/pool/rows.inc"
#undef ROW

}  // namespace bitwright
