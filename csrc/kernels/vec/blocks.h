// Blocks of channels: all that belongs to a block stays in registers while its pixels pass. Where a block has half or a quarter
// of the codes of a vector, two or four pixels are stored together.
#pragma once

#include "kernels/kernel.h"
#include "kernels/unrolled.h"
#include "kernels/vec/vec.h"

namespace bitwright {
namespace {

struct Rows {
  int begin, end;
};

// Channels c.. of all pixels of some rows. Params have in, second and out, which are maps of the same pixels, and an epilogue.
template <class Params, template <int> class Op, int kVectors, int kPixels>
void block(const Params& p, const Buffers& at, int c, Rows rows) {
  const Op<kVectors> op(p, at, c);
  const Vec::Table table(p.epilogue.table, static_cast<int>(p.epilogue.hi));
  const bool look_up = p.epilogue.table != nullptr, narrow = p.epilogue.narrow;
  const Vec::Floats bound = Vec::splat_float(p.epilogue.hi);
  const Vec::Bytes lo = Vec::splat(p.epilogue.lo), hi = Vec::splat(p.epilogue.hi);
  constexpr int kChannels = Vec::kLanes * kVectors;
  const int count = p.out.lanes - c < kChannels ? p.out.lanes - c : kChannels;
  for (int y = rows.begin; y < rows.end; ++y) {
    const uint8_t *in = at.in + y * p.in.row + c, *second = at.second + y * p.second.row + c;
    uint8_t* out = at.out + y * p.out.row + c;
    for (int x = 0; x < p.out.w; x += kPixels) {
      Vec::Ints codes[4] = {};
      uint8_t* to[kPixels];
      unrolled<kPixels>([&](auto i) BITWRIGHT_INLINE {
        int place = kPixels == 1 || x + i < p.out.w ? x + i : p.out.w - 1;  // the last is stored again
        const uint8_t *a = in + place * p.in.pixel, *b = second + place * p.second.pixel;
        unrolled<kVectors>([&](auto v) BITWRIGHT_INLINE {
          Vec::Floats t = op(v, a + Vec::kLanes * v, b + Vec::kLanes * v);
          codes[i * kVectors + v] = Vec::rounded(narrow ? t : Vec::min_floats(t, bound));
        });
        to[i] = out + place * p.out.pixel;
      });
      Vec::Bytes bytes = Vec::min(Vec::max(Vec::bytes_of(codes), lo), hi);
      if (look_up) bytes = table.look_up(bytes);
      Vec::store_parts<kPixels>(bytes, to, count);
    }
  }
}

template <class Params>
using BlockRun = void (*)(const Params&, const Buffers&, int, Rows);

// By vectors of a block, less 1. Lanes of vectors beyond the last channel hold anything.
constexpr int kMostVectors = 4;
#ifdef __AVX512F__
template <class Params, template <int> class Op>
constexpr BlockRun<Params> kBlockRuns[] = {block<Params, Op, 1, 4>, block<Params, Op, 2, 2>, block<Params, Op, 3, 1>,
                                           block<Params, Op, 4, 1>};
#else
template <class Params, template <int> class Op>
constexpr BlockRun<Params> kBlockRuns[] = {block<Params, Op, 2, 2>, block<Params, Op, 2, 2>, block<Params, Op, 4, 1>,
                                           block<Params, Op, 4, 1>};
#endif

// Channels `first` to the last of the output.
template <template <int> class Op, class Params>
void blocks(const Params& p, const Buffers& at, Rows rows, int first = 0) {
  for (int c = first; c < p.out.c; c += Vec::kLanes * kMostVectors) {
    int vectors = (p.out.c - c + Vec::kLanes - 1) / Vec::kLanes;
    kBlockRuns<Params, Op>[(vectors < kMostVectors ? vectors : kMostVectors) - 1](p, at, c, rows);
  }
}

}  // namespace
}  // namespace bitwright
