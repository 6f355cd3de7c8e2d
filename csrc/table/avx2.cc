// Rows of 16 codes, see Table256.
#include "../epilogue_avx2.h"
#include "table.h"

namespace bitwright {
namespace {

constexpr int kCodes = 32;

bool accepts(const TableParams& p) { return !p.per_channel; }

int units(const TableParams& p) { return p.out.h; }

void run(const TableParams& p, const Buffers& at, int begin, int end) {
  const Table256 table(p.table, 255);
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* in = at.in + y * p.in.row + x * p.in.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      int c = 0;
      for (; c + kCodes <= p.out.lanes; c += kCodes) {
        __m256i codes[] = {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + c))};
        table.look_up(codes);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + c), codes[0]);
      }
      for (; c < p.out.c; ++c) out[c] = p.table[in[c]];
    }
}

}  // namespace

const KernelRow<TableParams> table_avx2 = {"table, 32 codes", Isa::avx2, accepts, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
