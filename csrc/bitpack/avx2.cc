// 32 channels at a time: compared with their thresholds, or the planes of their codes shifted to the sign, by VPMOVMSKB.
#include <immintrin.h>

#include "bitpack.h"

namespace bitwright {
namespace {

bool accepts(const BitpackParams& p) { return p.thresholds || !p.table; }

int units(const BitpackParams& p) { return p.out.h; }

inline __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

void run(const BitpackParams& p, const Buffers& at, int begin, int end) {
  int bytes = p.out.lanes / 8;
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* in = at.in + y * p.in.row + x * p.in.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      for (int c = 0; c < p.out.c; c += 32) {
        __m256i codes = load(in + c);
        uint32_t channels = p.out.c - c >= 32 ? ~uint32_t{0} : (uint32_t{1} << (p.out.c - c)) - 1;
        for (int plane = 0; plane < p.planes; ++plane) {
          uint32_t bits;
          if (p.thresholds) {
            __m256i reached = _mm256_cmpeq_epi8(_mm256_max_epu8(codes, load(p.thresholds + c)), codes);
            bits = static_cast<uint32_t>(_mm256_movemask_epi8(reached)) ^ p.flips[c / 32];
          } else {
            bits = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_slli_epi16(codes, 7 - plane)));
          }
          bits &= channels;
          __builtin_memcpy(out + plane * bytes + c / 8, &bits, 4);
        }
      }
    }
}

}  // namespace

const KernelRow<BitpackParams> bitpack_avx2 = {"bitpack, 32 codes", Isa::avx2, accepts, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
