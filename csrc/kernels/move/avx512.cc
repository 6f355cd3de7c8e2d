// As for AVX2, but 64 bytes of a run at once.
#include "kernels/move/runs.h"
#include "kernels/move/weave.h"

namespace bitwright {
namespace {

inline __m512i load64(const uint8_t* from) { return _mm512_loadu_si512(from); }

void run_runs(const MoveParams& p, const Buffers& at, int begin, int end) {
  each_block(p, at, begin, end, [&](const Block& block) {
    const int64_t count = block.columns.extent;
    for (int64_t r = 0; r < block.rows.extent; ++r) {
      const uint8_t* in = block.in + r * block.rows.in;
      uint8_t* out = block.out + r * block.rows.out;
      if (count < 64 || count >= kLongRun) {
        copy_run(in, out, count);
        continue;
      }
      for (int64_t c = 0; c + 64 <= count; c += 64) _mm512_storeu_si512(out + c, load64(in + c));
      _mm512_storeu_si512(out + count - 64, load64(in + count - 64));
    }
  });
}

// Unpacking takes the lower or the higher eight bytes of each 16: these are the first and the second half of a vector once its
// words of eight bytes are in the order 0 4 1 5 2 6 3 7, or 0 2 1 3 of half as many.
void weave_long(const uint8_t* a, const uint8_t* b, uint8_t* out, int64_t count) {
  if (count < 32) return weave_two(a, b, out, count);
  if (count < 64) {
    for (int64_t i = 0;; i = count - 32) {
      __m256i x = _mm256_permute4x64_epi64(load32(a + i), 0xd8), y = _mm256_permute4x64_epi64(load32(b + i), 0xd8);
      store32(out + 2 * i, _mm256_unpacklo_epi8(x, y)), store32(out + 2 * i + 32, _mm256_unpackhi_epi8(x, y));
      if (i + 32 == count) return;
    }
  }
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  for (int64_t next = 0; next < count; next += 64) {
    int64_t i = next + 64 <= count ? next : count - 64;
    __m512i x = _mm512_permutexvar_epi64(order, load64(a + i)), y = _mm512_permutexvar_epi64(order, load64(b + i));
    _mm512_storeu_si512(out + 2 * i, _mm512_unpacklo_epi8(x, y));
    _mm512_storeu_si512(out + 2 * i + 64, _mm512_unpackhi_epi8(x, y));
  }
}

void run_woven(const MoveParams& p, const Buffers& at, int begin, int end) { run_tiles(p, at, begin, end, weave_long); }

}  // namespace

const Kernel<MoveParams> move_runs_avx512 = {block_count, nullptr, nullptr, nullptr, run_runs};
const Kernel<MoveParams> move_woven_avx512 = {block_count, nullptr, nullptr, nullptr, run_woven};

}  // namespace bitwright
