// The whole table in four registers, 64 codes looked up at once.
#include <immintrin.h>

#include "../epilogue_avx512.h"
#include "table.h"

namespace bitwright {
namespace {

constexpr int kMostChannels = 4;

// A table for each channel is for the image, which has few of them; not for channels of a wider map.
bool accepts(const TableParams& p) {
  bool narrow = p.in.pixel <= kMostChannels && p.out.pixel == kMostChannels && p.out.lanes == kMostChannels;
  return !p.per_channel || (p.out.c <= kMostChannels && narrow);
}

int units(const TableParams& p) { return p.out.h; }

void run_shared(const TableParams& p, const Buffers& at, int begin, int end) {
  const Table512 table(p.table);
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* in = at.in + y * p.in.row + x * p.in.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      for (int c = 0; c < p.out.c; c += 64)
        _mm512_mask_storeu_epi8(out + c, first_lanes(p.out.lanes - c), table.look_up(_mm512_loadu_si512(in + c)));
    }
}

// 16 pixels, brought from however many bytes they have to four: byte 4 * i + c is channel c of pixel i.
__m512i four_byte_pixels(ptrdiff_t pixel) {
  alignas(64) uint8_t from[64];
  for (int i = 0; i < 64; ++i) from[i] = static_cast<uint8_t>(i / 4 * pixel + i % 4);
  return _mm512_load_si512(from);
}

template <int kChannels>
void run_per_channel(const TableParams& p, const Buffers& at, int begin, int end) {
  __m512i tables[kChannels][4];
  for (int c = 0; c < kChannels; ++c)
    for (int i = 0; i < 4; ++i) tables[c][i] = _mm512_loadu_si512(p.table + 256 * c + 64 * i);
  const __m512i spread = four_byte_pixels(p.in.pixel);
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; x += 16) {
      __m512i codes = _mm512_permutexvar_epi8(spread, _mm512_loadu_si512(at.in + y * p.in.row + x * p.in.pixel));
      __m512i found = _mm512_setzero_si512();
      __mmask64 upper = _mm512_movepi8_mask(codes);
      for (int c = 0; c < kChannels; ++c) {
        __mmask64 channel = 0x1111111111111111ull << c;
        __m512i low = _mm512_permutex2var_epi8(tables[c][0], codes, tables[c][1]);
        __m512i high = _mm512_permutex2var_epi8(tables[c][2], codes, tables[c][3]);
        found = _mm512_mask_mov_epi8(found, channel & ~upper, low);
        found = _mm512_mask_mov_epi8(found, channel & upper, high);
      }
      _mm512_mask_storeu_epi8(at.out + y * p.out.row + 4 * x, first_lanes(4 * (p.out.w - x)), found);
    }
}

void run(const TableParams& p, const Buffers& at, int begin, int end) {
  if (!p.per_channel) return run_shared(p, at, begin, end);
  constexpr void (*kRuns[])(const TableParams&, const Buffers&, int, int) = {run_per_channel<1>, run_per_channel<2>,
                                                                           run_per_channel<3>, run_per_channel<4>};
  kRuns[p.out.c - 1](p, at, begin, end);
}

}  // namespace

const KernelRow<TableParams> table_avx512vnni = {"table, 64 codes", Isa::avx512vnni, accepts, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
