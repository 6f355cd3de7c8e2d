// A table for each channel of the image, which has few of them: 16 pixels at a time, brought to four bytes each.
#include "kernels/table/table.h"
#include "kernels/vec/avx512.h"

namespace bitwright {
namespace {

int units(const TableParams& p) { return p.out.h; }

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
  constexpr void (*kRuns[])(const TableParams&, const Buffers&, int, int) = {run_per_channel<1>, run_per_channel<2>,
                                                                             run_per_channel<3>, run_per_channel<4>};
  kRuns[p.out.c - 1](p, at, begin, end);
}

}  // namespace

const Kernel<TableParams> table_image_avx512vbmi = {units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
