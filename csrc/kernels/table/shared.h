// One table for all channels, a vector of codes at a time: of one pixel, or the same few channels of two or four.
#pragma once

#include "kernels/table/table.h"
#include "kernels/unrolled.h"
#include "kernels/vec/vec.h"

namespace bitwright {
namespace {

int table_units(const TableParams& p) { return p.out.h; }

template <int kPixels>
void run_pixels(const TableParams& p, const Buffers& at, int begin, int end) {
  constexpr int kChannels = Vec::kBytes / kPixels;
  const Vec::Table table(p.table);
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; x += kPixels) {
      const uint8_t *in = at.in + y * p.in.row, *from[kPixels];
      uint8_t *out = at.out + y * p.out.row, *to[kPixels];
      for (int c = 0; c < p.out.c; c += kChannels) {
        unrolled<kPixels>([&](auto i) BITWRIGHT_INLINE {
          int place = kPixels == 1 || x + i < p.out.w ? x + i : p.out.w - 1;  // the last is stored again
          from[i] = in + place * p.in.pixel + c, to[i] = out + place * p.out.pixel + c;
        });
        Vec::store_parts<kPixels>(table.look_up_any(Vec::load_parts<kPixels>(from)), to, p.out.lanes - c);
      }
    }
}

void run_bytes(const TableParams& p, const Buffers& at, int begin, int end) {
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; ++x) {
      const uint8_t* in = at.in + y * p.in.row + x * p.in.pixel;
      uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
      for (int c = 0; c < p.out.c; ++c) out[c] = p.table[in[c]];
    }
}

void run_table(const TableParams& p, const Buffers& at, int begin, int end) {
  if (p.out.lanes < 16) return run_bytes(p, at, begin, end);
  int left = p.out.lanes % Vec::kBytes;  // in a vector that would not be full
  if constexpr (Vec::kBytes == 64)
    if (p.out.lanes == 16) return run_pixels<4>(p, at, begin, end);
  if (left > 0 && left <= Vec::kBytes / 2) return run_pixels<2>(p, at, begin, end);
  run_pixels<1>(p, at, begin, end);
}

}  // namespace
}  // namespace bitwright
