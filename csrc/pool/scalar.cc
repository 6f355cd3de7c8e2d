// The plainest loops: they accept everything and are what the others are tested against.
#include "../epilogue_scalar.h"
#include "pool.h"

namespace bitwright {
namespace {

struct Range {
  int begin, end;
};

// The taps of a window starting at `start` that lie inside [0, size).
Range taps_inside(int start, int taps, int dilation, int size) {
  int begin = start < 0 ? (-start + dilation - 1) / dilation : 0;
  int end = size > start ? (size - start + dilation - 1) / dilation : 0;
  return {begin, end < taps ? end : taps};
}

int units(const PoolParams& p) { return p.pool == Pool::global_average ? 1 : p.out.h; }

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
  const Window& w = p.window;
  int top = y * w.stride_h - w.pad_top, left = x * w.stride_w - w.pad_left;
  Range rows = taps_inside(top, w.kh, w.dilation_h, p.in.h), columns = taps_inside(left, w.kw, w.dilation_w, p.in.w);
  for (int c = 0; c < p.out.c; ++c) {
    int32_t sum = 0;
    uint8_t most = 0;
    for (int ky = rows.begin; ky < rows.end; ++ky)
      for (int kx = columns.begin; kx < columns.end; ++kx) {
        uint8_t code = in[(top + ky * w.dilation_h) * p.in.row + (left + kx * w.dilation_w) * p.in.pixel + c];
        sum += code - p.zp;
        if (code > most) most = code;
      }
    if (p.pool == Pool::average)
      store_average(p, sum, p.m[p.m_per_pixel ? y * p.out.w + x : 0], c, out);
    else
      out[c] = p.table ? p.table[most] : most;
  }
}

void global_average(const PoolParams& p, const Buffers& at) {
  for (int c = 0; c < p.out.c; ++c) {
    int32_t sum = 0;
    for (int y = 0; y < p.in.h; ++y)
      for (int x = 0; x < p.in.w; ++x) sum += at.in[y * p.in.row + x * p.in.pixel + c] - p.zp;
    store_average(p, sum, p.m[0], c, at.out);
  }
}

void run(const PoolParams& p, const Buffers& at, int begin, int end) {
  if (p.pool == Pool::global_average) return global_average(p, at);
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) pool_pixel(p, at.in, y, x, at.out + y * p.out.row + x * p.out.pixel);
}

}  // namespace

const KernelRow<PoolParams> pool_scalar = {"pool", Isa::scalar, nullptr, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
