// The plainest loops: they accept everything and are what the others are tested against.
#include <cstring>

#include "kernels/move/blocks.h"

namespace bitwright {
namespace {

void run(const MoveParams& p, const Buffers& at, int begin, int end) {
  each_block(p, at, begin, end, [&](const Block& block) {
    const auto& [extent, stride_in, stride_out] = block.columns;
    const uint8_t* in = block.in;
    uint8_t* out = block.out;
    for (int64_t r = 0; r < block.rows.extent; ++r, in += block.rows.in, out += block.rows.out) {
      if (stride_out == 1 && p.fills)
        std::memset(out, p.code, extent);
      else if (stride_out == 1 && stride_in == 1)
        std::memcpy(out, in, extent);
      else
        for (int64_t c = 0; c < extent; ++c) out[c * stride_out] = p.fills ? p.code : in[c * stride_in];
    }
  });
}

}  // namespace

const Kernel<MoveParams> move_scalar = {block_count, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
