// The plainest loop: it accepts everything and is what the others are tested against.
#include "kernels/table/table.h"

namespace bitwright {
namespace {

int units(const TableParams& p) { return p.out.h; }

void run(const TableParams& params, const Buffers& at, int begin, int end) {
  const TableParams p = params;  // a copy, which no store of a byte can change
  const int step = p.per_channel ? 256 : 0;
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* in = at.in + y * p.in.row + x * p.in.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      const uint8_t* table = p.table;
      for (int c = 0; c < p.out.c; ++c, table += step) out[c] = table[in[c]];
    }
}

}  // namespace

const Kernel<TableParams> table_scalar = {units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
