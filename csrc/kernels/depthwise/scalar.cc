// The plainest loop: it accepts everything and is what the others are tested against.
#include "kernels/depthwise/depthwise.h"
#include "kernels/epilogue_scalar.h"

namespace bitwright {
namespace {

DepthwiseGrid grid_of(const DepthwiseParams& p) { return {p, p.out.h}; }

int units(const DepthwiseParams& p) { return grid_of(p).units(); }

size_t packed_bytes(const DepthwiseParams& p) { return static_cast<size_t>(p.out.c) * p.window.kh * p.window.kw; }

// [kh][kw][C]: the order in which the input lies.
void pack(const DepthwiseParams& p, const int8_t* weights, void* packed) {
  auto* to = static_cast<int8_t*>(packed);
  int taps = p.window.kh * p.window.kw;
  for (int tap = 0; tap < taps; ++tap)
    for (int c = 0; c < p.out.c; ++c) *to++ = weights[c * taps + tap];
}

void run_rows(const DepthwiseParams& p, const Buffers& at, int begin, int end, int channel) {
  const Window& w = p.window;
  const auto* weights = static_cast<const int8_t*>(p.weights);
  int stop = channel + DepthwiseGrid::kBlockChannels < p.out.c ? channel + DepthwiseGrid::kBlockChannels : p.out.c;
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* window = at.in + (y * w.stride_h - w.pad_top) * p.in.row + (x * w.stride_w - w.pad_left) * p.in.pixel;
      const uint8_t* second = at.second + y * p.second.row + x * p.second.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      for (int c = channel; c < stop; ++c) {
        uint32_t acc = static_cast<uint32_t>(p.start[c]);  // partial sums may wrap; the whole fits int32
        for (int ky = 0; ky < w.kh; ++ky)
          for (int kx = 0; kx < w.kw; ++kx) {
            int code = window[ky * w.dilation_h * p.in.row + kx * w.dilation_w * p.in.pixel + c];
            acc += static_cast<uint32_t>(code * weights[(ky * w.kw + kx) * p.out.c + c]);
          }
        finish(p.epilogue, c, static_cast<int32_t>(acc), second, out);
      }
    }
}

void run(const DepthwiseParams& p, const Buffers& at, int begin, int end) {
  grid_of(p).each(begin, end, [&](int channel, int first, int last) { run_rows(p, at, first, last, channel); });
}

}  // namespace

const Kernel<DepthwiseParams> depthwise_scalar = {units, packed_bytes, pack, nullptr, run};

}  // namespace bitwright
