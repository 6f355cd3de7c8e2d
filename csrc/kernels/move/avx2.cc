// 32 bytes of a run at once; two runs woven into one; else tiles of 16 x 16. The last of a row begins so much earlier that it
// ends with the row: those bytes are written twice.
#include "kernels/move/blocks.h"
#include "kernels/move/weave.h"

namespace bitwright {
namespace {

template <class Piece>
void copy_ends(const uint8_t* in, uint8_t* out, int64_t count) {
  Piece first, last;
  __builtin_memcpy(&first, in, sizeof(Piece)), __builtin_memcpy(&last, in + count - sizeof(Piece), sizeof(Piece));
  __builtin_memcpy(out, &first, sizeof(Piece)), __builtin_memcpy(out + count - sizeof(Piece), &last, sizeof(Piece));
}

void copy_run(const uint8_t* in, uint8_t* out, int64_t count) {
  for (; count > 64; count -= 32, in += 32, out += 32)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in)));
  if (count >= 32) return copy_ends<__m256i>(in, out, count);
  if (count >= 16) return copy_ends<__m128i>(in, out, count);
  if (count >= 8) return copy_ends<uint64_t>(in, out, count);
  if (count >= 4) return copy_ends<uint32_t>(in, out, count);
  for (int64_t i = 0; i < count; ++i) out[i] = in[i];
}

void run_runs(const MoveParams& p, const Buffers& at, int begin, int end) {
  each_block(p, at, begin, end, [&](const Block& block) {
    for (int64_t r = 0; r < block.rows.extent; ++r)
      copy_run(block.in + r * block.rows.in, block.out + r * block.rows.out, block.columns.extent);
  });
}

void weave_plainly(const uint8_t* in, uint8_t* out, const Dim& rows, const Dim& columns) {
  for (int64_t r = 0; r < rows.extent; ++r)
    for (int64_t c = 0; c < columns.extent; ++c) out[r * rows.out + c] = in[r + c * columns.in];
}

inline __m128i load(const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
inline void store(uint8_t* to, __m128i x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), x); }

// out[2 i] = a[i], out[2 i + 1] = b[i] for 16 i or more
void weave_two(const uint8_t* a, const uint8_t* b, uint8_t* out, int64_t count) {
  for (int64_t next = 0; next < count; next += 16) {
    int64_t i = next + 16 <= count ? next : count - 16;
    __m128i x = load(a + i), y = load(b + i);
    store(out + 2 * i, _mm_unpacklo_epi8(x, y)), store(out + 2 * i + 16, _mm_unpackhi_epi8(x, y));
  }
}

// 16 rows of `columns` bytes, at most 16.
void weave_tile(const uint8_t* in, uint8_t* out, const Dim& rows, int64_t columns, ptrdiff_t stride) {
  __m128i x[16];
  for (int c = 0; c < 16; ++c) x[c] = c < columns ? load(in + c * stride) : _mm_setzero_si128();
  weave(x);
  for (int r = 0; r < 16; ++r) {
    if (columns == 16) {
      store(out + r * rows.out, x[r]);
      continue;
    }
    alignas(16) uint8_t bytes[16];
    store(bytes, x[r]);
    for (int64_t c = 0; c < columns; ++c) out[r * rows.out + c] = bytes[c];
  }
}

void run_woven(const MoveParams& p, const Buffers& at, int begin, int end) {
  each_block(p, at, begin, end, [&](const Block& block) {
    const auto& [in, out, rows, columns] = block;
    if (rows.extent < 16) return weave_plainly(in, out, rows, columns);
    if (columns.extent == 2 && rows.out == 2) return weave_two(in, in + columns.in, out, rows.extent);
    int64_t width = columns.extent < 16 ? columns.extent : 16;
    for (int64_t next_row = 0; next_row < rows.extent; next_row += 16)
      for (int64_t next = 0; next < columns.extent; next += 16) {
        int64_t r = next_row + 16 <= rows.extent ? next_row : rows.extent - 16;
        int64_t c = next + width <= columns.extent ? next : columns.extent - width;
        weave_tile(in + r + c * columns.in, out + r * rows.out + c, rows, width, columns.in);
      }
  });
}

}  // namespace

const Kernel<MoveParams> move_runs_avx2 = {block_count, nullptr, nullptr, nullptr, run_runs};
const Kernel<MoveParams> move_woven_avx2 = {block_count, nullptr, nullptr, nullptr, run_woven};

}  // namespace bitwright
