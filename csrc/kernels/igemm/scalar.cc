// The plainest loop: it accepts everything and is what the others are tested against.
#include "kernels/epilogue_scalar.h"
#include "kernels/igemm/igemm.h"

namespace bitwright {
namespace {

int units(const IgemmParams& p) { return p.out.h; }

size_t packed_bytes(const IgemmParams& p) {
  return static_cast<size_t>(p.out.c) * (p.in.c / p.groups) * p.window.kh * p.window.kw;
}

// [O][kh][kw][I / groups]: the order in which the input lies.
void pack(const IgemmParams& p, const int8_t* weights, void* packed) {
  auto* to = static_cast<int8_t*>(packed);
  int depth = p.in.c / p.groups, taps = p.window.kh * p.window.kw;
  for (int o = 0; o < p.out.c; ++o)
    for (int tap = 0; tap < taps; ++tap)
      for (int i = 0; i < depth; ++i) *to++ = weights[(static_cast<ptrdiff_t>(o) * depth + i) * taps + tap];
}

// Unsigned, so that partial sums may wrap; the whole fits int32.
uint32_t dot(const IgemmParams& p, const uint8_t* window, const int8_t* weights, int depth) {
  uint32_t sum = 0;
  for (int ky = 0; ky < p.window.kh; ++ky)
    for (int kx = 0; kx < p.window.kw; ++kx, weights += depth) {
      const uint8_t* x = window + ky * p.window.dilation_h * p.in.row + kx * p.window.dilation_w * p.in.pixel;
      for (int i = 0; i < depth; ++i) sum += static_cast<uint32_t>(x[i] * weights[i]);
    }
  return sum;
}

void run(const IgemmParams& p, const Buffers& at, int begin, int end) {
  int depth = p.in.c / p.groups, outs = p.out.c / p.groups;
  ptrdiff_t stride = static_cast<ptrdiff_t>(depth) * p.window.kh * p.window.kw;
  const auto* weights = static_cast<const int8_t*>(p.weights);
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* window = at.in + (y * p.window.stride_h - p.window.pad_top) * p.in.row +
                              (x * p.window.stride_w - p.window.pad_left) * p.in.pixel;
      const uint8_t* second = at.second + y * p.second.row + x * p.second.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      for (int o = 0; o < p.out.c; ++o) {
        uint32_t acc = static_cast<uint32_t>(p.start[o]) + dot(p, window + o / outs * depth, weights + o * stride, depth);
        finish(p.epilogue, o, static_cast<int32_t>(acc), second, out);
      }
    }
}

}  // namespace

const Kernel<IgemmParams> igemm_scalar = {units, packed_bytes, pack, nullptr, run};

}  // namespace bitwright
