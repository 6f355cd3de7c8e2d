// A table for each channel, as prelu needs. 16 channels of as many pixels as a vector has bytes are transposed, so that a
// vector holds one channel of all these pixels and is looked up in one table; then they are transposed back.
//
//   vector i    16 channels of pixel i | of pixel 16 + i | ...    <->    channel i of pixels 0..15 | of pixels 16..31 | ...
#pragma once

#include "kernels/table/packed.h"
#include "kernels/table/transpose.h"

namespace bitwright {
namespace {

constexpr int kTogether = 16;                    // channels, and pixels of a part of a vector
constexpr int kParts = Vec::kBytes / kTogether;  // of a vector

// From pixels that begin at `from` to pixels that begin at `to`, all their channels.
void look_up_pixels(const TableParams& p, const uint8_t* const (&from)[Vec::kBytes], uint8_t* const (&to)[Vec::kBytes]) {
  const auto* tables = static_cast<const Vec::Table*>(p.weights);
  for (int c = 0; c < p.out.c; c += kTogether) {
    const int channels = p.out.c - c < kTogether ? p.out.c - c : kTogether;
    Vec::Bytes rows[kTogether];
    unrolled<kTogether>([&](auto i) BITWRIGHT_INLINE {
      const uint8_t* parts[kParts];
      for (int part = 0; part < kParts; ++part) parts[part] = from[kTogether * part + i] + c;
      rows[i] = Vec::load_parts<kParts>(parts);
    });
    turn<4>(rows);
    for (int k = 0; k < channels; ++k) rows[k] = tables[c + k].look_up_any(rows[k]);
    turn<4>(rows);
    unrolled<kTogether>([&](auto i) BITWRIGHT_INLINE {
      uint8_t* parts[kParts];
      for (int part = 0; part < kParts; ++part) parts[part] = to[kTogether * part + i] + c;
      Vec::store_parts<kParts>(rows[i], parts, p.out.lanes - c);
    });
  }
}

void run_channels(const TableParams& p, const Buffers& at, int begin, int end) {
  for (int y = begin, x = 0; y < end;) {
    const uint8_t* from[Vec::kBytes];
    uint8_t* to[Vec::kBytes];
    for (int i = 0; i < Vec::kBytes; ++i) {
      from[i] = i && y == end ? from[i - 1] : at.in + y * p.in.row + x * p.in.pixel;
      to[i] = i && y == end ? to[i - 1] : at.out + y * p.out.row + x * p.out.pixel;  // the last is stored again
      if (y < end && ++x == p.out.w) x = 0, ++y;
    }
    look_up_pixels(p, from, to);
  }
}

}  // namespace
}  // namespace bitwright
