// The plainest loops: they accept everything and are what the others are tested against.
#include "kernels/elementwise/elementwise.h"
#include "kernels/epilogue_scalar.h"

namespace bitwright {
namespace {

int units(const ElementwiseParams& p) { return p.out.h; }

float combine(const ElementwiseParams& p, int a, int b) {
  if (p.op == Elementwise::mul) return static_cast<float>((a - p.zp) * (b - p.second_zp)) * p.m;
  float left = static_cast<float>(a - p.zp) * p.m, right = static_cast<float>(b - p.second_zp) * p.m_second;
  return left + right;
}

void pixel(const ElementwiseParams& p, const uint8_t* in, const uint8_t* second, uint8_t* out) {
  for (int c = 0; c < p.out.c; ++c) {
    if (p.op == Elementwise::affine) {
      finish(p.epilogue, c, in[c] - (p.zps ? p.zps[c] : p.zp), nullptr, out);
      continue;
    }
    float t = combine(p, in[c], second[c]);
    if (p.epilogue.to_float) {
      std::memcpy(out + 4 * c, &t, 4);
      continue;
    }
    uint8_t code = clipped_code(t + p.out_zp, p.epilogue.lo, p.epilogue.hi);
    out[c] = p.epilogue.table ? p.epilogue.table[code] : code;
  }
}

void run(const ElementwiseParams& p, const Buffers& at, int begin, int end) {
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* second = p.per_channel ? at.second : at.second + y * p.second.row + x * p.second.pixel;
      pixel(p, at.in + y * p.in.row + x * p.in.pixel, second, at.out + y * p.out.row + x * p.out.pixel);
    }
}

}  // namespace

const Kernel<ElementwiseParams> elementwise_scalar = {units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
