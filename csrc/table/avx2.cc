// The table is 16 rows of 16 codes, each looked up by VPSHUFB. Where the high half of a code is not the row, its top bit is
// set, for which VPSHUFB gives 0.
#include <immintrin.h>

#include "table.h"

namespace bitwright {
namespace {

constexpr int kCodes = 32;

bool accepts(const TableParams& p) { return !p.per_channel; }

int units(const TableParams& p) { return p.out.h; }

__m256i look_up(const uint8_t* table, __m256i codes) {
  __m256i found = _mm256_setzero_si256();
  for (int i = 0; i < 16; ++i) {
    __m256i row = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * i)));
    __m256i low_half = _mm256_xor_si256(codes, _mm256_set1_epi8(static_cast<char>(16 * i)));  // below 16 in this row
    __m256i at = _mm256_adds_epu8(low_half, _mm256_set1_epi8(0x70));
    found = _mm256_or_si256(found, _mm256_shuffle_epi8(row, at));
  }
  return found;
}

void run(const TableParams& p, const Buffers& at, int begin, int end) {
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* in = at.in + y * p.in.row + x * p.in.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      int c = 0;
      for (; c + kCodes <= p.out.lanes; c += kCodes) {
        __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + c));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + c), look_up(p.table, codes));
      }
      for (; c < p.out.c; ++c) out[c] = p.table[in[c]];
    }
}

}  // namespace

const KernelRow<TableParams> table_avx2 = {"table, 32 codes", Isa::avx2, accepts, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
