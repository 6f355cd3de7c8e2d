// The plainest loops: they accept everything and are what the others are tested against.
#include "kernels/epilogue_scalar.h"
#include "kernels/pool/window.h"

namespace bitwright {
namespace {

int units(const PoolParams& p) { return p.pool == Pool::global_average ? (p.out.c + kPoolBlock - 1) / kPoolBlock : p.out.h; }

void store_average(const PoolParams& p, int32_t acc, float m, int c, uint8_t* out) {
  float t = static_cast<float>(acc) * m;
  if (p.to_float) {
    std::memcpy(out + 4 * c, &t, 4);
    return;
  }
  uint8_t code = clipped_code(t + p.out_zp, 0, p.hi);
  out[c] = p.table ? p.table[code] : code;
}

void pool_pixel(const PoolParams& p, const uint8_t* in, int y, int x, uint8_t* out) {
  InsideWindow window(p, y, x);
  for (int c = 0; c < p.out.c; ++c) {
    int32_t sum = 0;
    uint8_t most = 0;
    window.each(p, [&](ptrdiff_t offset) {
      uint8_t code = in[offset + c];
      sum += code - p.zp;
      if (code > most) most = code;
    });
    if (p.pool == Pool::average)
      store_average(p, sum, p.m[p.m_per_pixel ? y * p.out.w + x : 0], c, out);
    else
      out[c] = p.table ? p.table[most] : most;
  }
}

void global_average(const PoolParams& p, const Buffers& at, int begin, int end) {
  for (int c = begin * kPoolBlock; c < end * kPoolBlock && c < p.out.c; ++c) {
    int32_t sum = 0;
    for (int y = 0; y < p.in.h; ++y)
      for (int x = 0; x < p.in.w; ++x) sum += at.in[y * p.in.row + x * p.in.pixel + c] - p.zp;
    store_average(p, sum, p.m[0], c, at.out);
  }
}

void run(const PoolParams& p, const Buffers& at, int begin, int end) {
  if (p.pool == Pool::global_average) return global_average(p, at, begin, end);
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) pool_pixel(p, at.in, y, x, at.out + y * p.out.row + x * p.out.pixel);
}

}  // namespace

const Kernel<PoolParams> pool_scalar = {units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
