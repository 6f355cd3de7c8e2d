// 64 bytes of a run at once; two runs woven into one; else tiles of 16 x 16. Masks cut off what is beyond the end.
#include "kernels/move/blocks.h"
#include "kernels/move/weave.h"

namespace bitwright {
namespace {

inline __mmask64 first64(int64_t count) { return count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1; }
inline __mmask16 first16(int64_t count) { return static_cast<__mmask16>(count >= 16 ? 0xffff : (1 << count) - 1); }

void run_runs(const MoveParams& p, const Buffers& at, int begin, int end) {
  each_block(p, at, begin, end, [&](const Block& block) {
    const uint8_t* in = block.in;
    uint8_t* out = block.out;
    for (int64_t r = 0; r < block.rows.extent; ++r, in += block.rows.in, out += block.rows.out) {
      int64_t c = 0;
      for (; c + 64 <= block.columns.extent; c += 64) _mm512_storeu_si512(out + c, _mm512_loadu_si512(in + c));
      __mmask64 rest = first64(block.columns.extent - c);
      _mm512_mask_storeu_epi8(out + c, rest, _mm512_maskz_loadu_epi8(rest, in + c));
    }
  });
}

// out[2 i] = a[i], out[2 i + 1] = b[i]. Unpacking takes the lower or the higher eight bytes of each 16: these are the first and
// the second half of a vector once its words of eight bytes are in this order.
void weave_two(const uint8_t* a, const uint8_t* b, uint8_t* out, int64_t count) {
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  for (int64_t i = 0; i < count; i += 64) {
    __mmask64 there = first64(count - i);
    __m512i x = _mm512_permutexvar_epi64(order, _mm512_maskz_loadu_epi8(there, a + i));
    __m512i y = _mm512_permutexvar_epi64(order, _mm512_maskz_loadu_epi8(there, b + i));
    int64_t left = 2 * (count - i);
    _mm512_mask_storeu_epi8(out + 2 * i, first64(left), _mm512_unpacklo_epi8(x, y));
    if (left > 64) _mm512_mask_storeu_epi8(out + 2 * i + 64, first64(left - 64), _mm512_unpackhi_epi8(x, y));
  }
}

void weave_tile(const uint8_t* in, uint8_t* out, const Dim& rows, const Dim& columns) {
  __m128i x[16];
  __mmask16 of_rows = first16(rows.extent), of_columns = first16(columns.extent);
  for (int c = 0; c < 16; ++c)
    x[c] = c < columns.extent ? _mm_maskz_loadu_epi8(of_rows, in + c * columns.in) : _mm_setzero_si128();
  weave(x);
  for (int r = 0; r < 16; ++r)
    if (r < rows.extent) _mm_mask_storeu_epi8(out + r * rows.out, of_columns, x[r]);
}

void run_woven(const MoveParams& p, const Buffers& at, int begin, int end) {
  each_block(p, at, begin, end, [&](const Block& block) {
    const auto& [in, out, rows, columns] = block;
    if (columns.extent == 2 && rows.out == 2) return weave_two(in, in + columns.in, out, rows.extent);
    for (int64_t r = 0; r < rows.extent; r += 16)
      for (int64_t c = 0; c < columns.extent; c += 16)
        weave_tile(in + r + c * columns.in, out + r * rows.out + c, {rows.extent - r, rows.in, rows.out},
                   {columns.extent - c, columns.in, columns.out});
  });
}

}  // namespace

const Kernel<MoveParams> move_runs_avx512 = {block_count, nullptr, nullptr, nullptr, run_runs};
const Kernel<MoveParams> move_woven_avx512 = {block_count, nullptr, nullptr, nullptr, run_woven};

}  // namespace bitwright
