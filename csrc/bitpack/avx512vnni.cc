// 64 channels at a time: compared with their thresholds, or the planes of their codes tested, into mask registers.
#include <immintrin.h>

#include "../epilogue_avx512.h"
#include "bitpack.h"

namespace bitwright {
namespace {

bool accepts(const BitpackParams& p) { return p.thresholds || !p.per_channel; }

int units(const BitpackParams& p) { return p.out.h; }

void run(const BitpackParams& p, const Buffers& at, int begin, int end) {
  const Table512 table(p.table);
  int bytes = p.out.lanes / 8;
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* in = at.in + y * p.in.row + x * p.in.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      for (int c = 0; c < p.out.c; c += 64) {
        __m512i codes = _mm512_loadu_si512(in + c);
        __mmask64 channels = first_lanes(p.out.c - c);
        size_t size = p.out.lanes - c >= 64 ? 8 : 4;
        if (p.thresholds) {
          __mmask64 flips;
          __builtin_memcpy(&flips, p.flips + c / 32, 8);
          __mmask64 bits = _mm512_cmpge_epu8_mask(codes, _mm512_loadu_si512(p.thresholds + c));
          bits = (bits ^ flips) & channels;
          __builtin_memcpy(out + c / 8, &bits, size);
          continue;
        }
        if (p.table) codes = table.look_up(codes);
        for (int plane = 0; plane < p.planes; ++plane) {
          __mmask64 bits = _mm512_mask_test_epi8_mask(channels, codes, _mm512_set1_epi8(static_cast<char>(1 << plane)));
          __builtin_memcpy(out + plane * bytes + c / 8, &bits, size);
        }
      }
    }
}

}  // namespace

const KernelRow<BitpackParams> bitpack_avx512vnni = {"bitpack, 64 codes", Isa::avx512vnni, accepts, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
