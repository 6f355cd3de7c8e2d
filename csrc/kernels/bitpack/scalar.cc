// The plainest loop: it accepts everything and is what the others are tested against.
#include "kernels/bitpack/bitpack.h"

namespace bitwright {
namespace {

int units(const BitpackParams& p) { return p.out.h; }

uint8_t code(const BitpackParams& p, int c, uint8_t x) {
  if (p.thresholds) return (x >= p.thresholds[c]) ^ (p.flips[c / 32] >> c % 32 & 1u);
  return p.table ? p.table[(p.per_channel ? 256 * c : 0) + x] : x;
}

void run(const BitpackParams& p, const Buffers& at, int begin, int end) {
  int words = p.out.lanes / 32;
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* in = at.in + y * p.in.row + x * p.in.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      for (int word = 0; word < words; ++word) {
        uint32_t planes[8] = {};
        for (int c = 32 * word; c < 32 * word + 32 && c < p.out.c; ++c) {
          unsigned bits = code(p, c, in[c]);
          for (int plane = 0; plane < p.planes; ++plane) planes[plane] |= (bits >> plane & 1u) << c % 32;
        }
        for (int plane = 0; plane < p.planes; ++plane) __builtin_memcpy(out + 4 * (plane * words + word), &planes[plane], 4);
      }
    }
}

}  // namespace

const Kernel<BitpackParams> bitpack_scalar = {units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
