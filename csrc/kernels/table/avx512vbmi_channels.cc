// A table for each channel, as prelu needs: 16 pixels x 64 channels are transposed as a matrix of 16 x 16 dwords, so that a
// vector holds four channels of all the pixels. There each channel's table is two look-ups of half of it, under a mask.
#include "kernels/table/table.h"
#include "kernels/vec/avx512.h"

namespace bitwright {
namespace {

constexpr int kPixels = 16, kChannels = 64, kTogether = 4;

int units(const TableParams& p) { return p.out.h; }

void transpose(__m512i (&rows)[16]) {
  __m512i pairs[16], quads[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    __m512i even = _mm512_shuffle_i32x4(quads[i], quads[4 + i], 0x88), odd = _mm512_shuffle_i32x4(quads[i], quads[4 + i], 0xdd);
    __m512i even2 = _mm512_shuffle_i32x4(quads[8 + i], quads[12 + i], 0x88);
    __m512i odd2 = _mm512_shuffle_i32x4(quads[8 + i], quads[12 + i], 0xdd);
    rows[i] = _mm512_shuffle_i32x4(even, even2, 0x88), rows[8 + i] = _mm512_shuffle_i32x4(even, even2, 0xdd);
    rows[4 + i] = _mm512_shuffle_i32x4(odd, odd2, 0x88), rows[12 + i] = _mm512_shuffle_i32x4(odd, odd2, 0xdd);
  }
}

// `codes` of channels c.. of 16 pixels, byte 4 * i + k being channel c + k of pixel i. What is found replaces the code, which
// no later channel looks up.
__m512i look_up(const TableParams& p, int c, __m512i codes) {
  const __mmask64 upper = _mm512_movepi8_mask(codes);
#pragma GCC unroll 4
  for (int k = 0; k < kTogether; ++k) {
    const uint8_t* table = p.table + 256 * (c + k < p.out.c ? c + k : p.out.c - 1);
    const __mmask64 channel = 0x1111111111111111ull << k;
    auto quarter = [&](int i) { return _mm512_loadu_si512(table + 64 * i); };
    codes = _mm512_mask2_permutex2var_epi8(quarter(0), codes, channel & ~upper, quarter(1));
    codes = _mm512_mask2_permutex2var_epi8(quarter(2), codes, channel & upper, quarter(3));
  }
  return codes;
}

void run(const TableParams& p, const Buffers& at, int begin, int end) {
  int last = end * p.out.w;
  for (int first = begin * p.out.w; first < last; first += kPixels) {
    const uint8_t* in[kPixels];
    uint8_t* out[kPixels];
    int count = last - first < kPixels ? last - first : kPixels;
    for (int i = 0; i < kPixels; ++i) {
      int pixel = first + (i < count ? i : count - 1), y = pixel / p.out.w, x = pixel % p.out.w;
      in[i] = at.in + y * p.in.row + x * p.in.pixel, out[i] = at.out + y * p.out.row + x * p.out.pixel;
    }
    for (int c = 0; c < p.out.c; c += kChannels) {
      __m512i rows[kPixels];
      for (int i = 0; i < kPixels; ++i) rows[i] = _mm512_loadu_si512(in[i] + c);
      transpose(rows);
      for (int i = 0; i < kPixels && c + kTogether * i < p.out.c; ++i) rows[i] = look_up(p, c + kTogether * i, rows[i]);
      transpose(rows);
      for (int i = 0; i < count; ++i) _mm512_mask_storeu_epi8(out[i] + c, first_lanes(p.out.lanes - c), rows[i]);
    }
  }
}

}  // namespace

const Kernel<TableParams> table_channels_avx512vbmi = {units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
