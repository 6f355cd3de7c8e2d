// The whole table in four registers, 64 codes looked up at once.
#include <immintrin.h>

#include "../epilogue_avx512.h"
#include "table.h"

namespace bitwright {
namespace {

bool accepts(const TableParams& p) { return !p.per_channel; }

int units(const TableParams& p) { return p.out.h; }

void run(const TableParams& p, const Buffers& at, int begin, int end) {
  Table512 table(p.table);
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* in = at.in + y * p.in.row + x * p.in.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      for (int c = 0; c < p.out.c; c += 64)
        _mm512_mask_storeu_epi8(out + c, first_lanes(p.out.lanes - c), table.look_up(_mm512_loadu_si512(in + c)));
    }
}

}  // namespace

const KernelRow<TableParams> table_avx512vnni = {"table, 64 codes", Isa::avx512vnni, accepts, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
