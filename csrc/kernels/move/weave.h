// Transpositions of bytes: two runs woven into one, else tiles of 16 x 16. The last tile of a row or column begins so much
// earlier that it ends with it.
#pragma once

#include "kernels/move/runs.h"

namespace bitwright {
namespace {

constexpr int64_t kLeastTile = 64;  // elements: below, a tile costs more than these

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// 16 x 16 bytes with rows and columns exchanged. A round weaves the first eight vectors into the last eight, byte by byte: the
// eight bits of a byte's number among all 256 (four of its vector, four inside it) turn by one. After four rounds the halves
// have changed places.
inline void weave(Bytes16 x[16]) {
  for (int round = 0; round < 4; ++round) {
    Bytes16 y[16];
    for (int i = 0; i < 8; ++i) {
      y[2 * i] = mixed_low(x[i], x[i + 8]);
      y[2 * i + 1] = mixed_high(x[i], x[i + 8]);
    }
    for (int i = 0; i < 16; ++i) x[i] = y[i];
  }
}

inline void weave_plainly(const uint8_t* in, uint8_t* out, const Dim& rows, const Dim& columns) {
  for (int64_t r = 0; r < rows.extent; ++r)
    for (int64_t c = 0; c < columns.extent; ++c) out[r * rows.out + c] = in[r * rows.in + c * columns.in];
}

// out[2 i] = a[i], out[2 i + 1] = b[i] for 8 i or more. Loads reach over the end.
inline void weave_two(const uint8_t* a, const uint8_t* b, uint8_t* out, int64_t count) {
  if (count < 16) {
    int64_t last = count - 8;
    store(out, mixed_low(load(a), load(b)));
    store(out + 2 * last, mixed_low(load(a + last), load(b + last)));
    return;
  }
  for (int64_t next = 0; next < count; next += 16) {
    int64_t i = next + 16 <= count ? next : count - 16;
    Bytes16 x = load(a + i), y = load(b + i);
    store(out + 2 * i, mixed_low(x, y)), store(out + 2 * i + 16, mixed_high(x, y));
  }
}

// Rows that 16 bytes of the input have, at most 16 columns. Loads reach over the rows (see kernel.h), stores do not.
inline void weave_tile(const uint8_t* in, uint8_t* out, const Dim& rows, int64_t columns, ptrdiff_t stride) {
  Bytes16 x[16];
  for (int c = 0; c < 16; ++c) x[c] = c < columns ? load(in + c * stride) : splat(0);
  weave(x);
  for (int r = 0; r < rows.extent; ++r) {
    if (columns == 16) {
      store(out + r * rows.out, x[r * rows.in]);
      continue;
    }
    alignas(16) uint8_t bytes[16];
    store(bytes, x[r * rows.in]);
    for (int64_t c = 0; c < columns; ++c) out[r * rows.out + c] = bytes[c];
  }
}

template <class WeaveTwo>
void run_tiles(const MoveParams& p, const Buffers& at, int begin, int end, WeaveTwo weave_two) {
  each_block(p, at, begin, end, [&](const Block& block) {
    const auto& [in, out, rows, columns] = block;
    if (columns.extent == 2 && rows.in == 1 && rows.out == 2 && rows.extent >= 8)
      return weave_two(in, in + columns.in, out, rows.extent);
    if (rows.extent * columns.extent < kLeastTile) return weave_plainly(in, out, rows, columns);
    int64_t width = least(columns.extent, 16), height = least(rows.extent, 15 / rows.in + 1);
    for (int64_t next_row = 0; next_row < rows.extent; next_row += height)
      for (int64_t next = 0; next < columns.extent; next += 16) {
        int64_t r = next_row + height <= rows.extent ? next_row : rows.extent - height;
        int64_t c = next + width <= columns.extent ? next : columns.extent - width;
        weave_tile(in + r * rows.in + c * columns.in, out + r * rows.out + c, {height, rows.in, rows.out}, width, columns.in);
      }
  });
}

}  // namespace
}  // namespace bitwright
