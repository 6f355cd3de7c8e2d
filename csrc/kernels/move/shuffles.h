// What moves by vectors of 16 bytes have in common: runs, fills, transpositions, and every nth byte by shuffles.
#pragma once

#include "kernels/move/runs.h"
#include "kernels/move/weave.h"

namespace bitwright {
namespace {

void run_runs(const MoveParams& p, const Buffers& at, int begin, int end) {
  each_block(p, at, begin, end, [&](const Block& block) {
    for (int64_t r = 0; r < block.rows.extent; ++r)
      copy_run(block.in + r * block.rows.in, block.out + r * block.rows.out, block.columns.extent);
  });
}

void run_fill(const MoveParams& p, const Buffers& at, int begin, int end) {
  each_block(p, at, begin, end, [&](const Block& block) {
    for (int64_t r = 0; r < block.rows.extent; ++r) fill_run(block.out + r * block.rows.out, block.columns.extent, p.code);
  });
}

void run_woven(const MoveParams& p, const Buffers& at, int begin, int end) { run_tiles(p, at, begin, end, weave_two); }

// out[c] = in[c * stride]. A vector of 16 bytes has 15 / stride + 1 of them, 8 at most, which a shuffle brings together; the
// rest of the 8 that are stored is written again by the next. For a stride of 3:
//
//   in     a . . b . . c . . d . . e . . f
//   out    a b c d e f ? ?
//                      g h i j k l ? ?
void pick_run(const uint8_t* in, uint8_t* out, int64_t count, int64_t stride, Bytes16 order) {
  int64_t picked = 15 / stride + 1, c = 0;
  for (; c + 8 <= count; c += picked) store_half(out + c, shuffled(load(in + c * stride), order));
  for (; c < count; ++c) out[c] = in[c * stride];
}

void run_strided(const MoveParams& p, const Buffers& at, int begin, int end) {
  const int64_t stride = p.dims[p.rank - 1].in;
  alignas(16) uint8_t places[16];
  for (int64_t i = 0; i < 16; ++i) places[i] = static_cast<uint8_t>(i * stride < 16 ? i * stride : 0x80);
  const Bytes16 order = load(places);
  each_block(p, at, begin, end, [&](const Block& block) {
    for (int64_t r = 0; r < block.rows.extent; ++r)
      pick_run(block.in + r * block.rows.in, block.out + r * block.rows.out, block.columns.extent, stride, order);
  });
}

}  // namespace
}  // namespace bitwright
