// The plainest loop: it accepts everything and is what the others are tested against.
#include "kernels/table/table.h"

namespace bitwright {
namespace {

int units(const TableParams& p) { return p.out.h; }

void run(const TableParams& p, const Buffers& at, int begin, int end) {
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* in = at.in + y * p.in.row + x * p.in.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      for (int c = 0; c < p.out.c; ++c) out[c] = p.table[(p.per_channel ? 256 * c : 0) + in[c]];
    }
}

}  // namespace

const Kernel<TableParams> table_scalar = {units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
