// A table for each channel of the image, which has few of them: four vectors of pixels of four bytes become four of a channel
// each, are looked up, and become pixels again.
#pragma once

#include "kernels/table/packed.h"
#include "kernels/table/transpose.h"

namespace bitwright {
namespace {

constexpr int kVectorPixels = Vec::kBytes / kImageLanes;

// For each 16 bytes of a vector: where the bytes of four pixels are that have `pixel` bytes each. What follows a pixel's last
// channel is looked up in no table.
Vec::Bytes four_byte_pixels(ptrdiff_t pixel) {
  alignas(64) uint8_t from[Vec::kBytes];
  for (int i = 0; i < Vec::kBytes; ++i) from[i] = static_cast<uint8_t>(i % 16 / kImageLanes * pixel + i % kImageLanes);
  return Vec::load(from);
}

template <int kChannels>
void run_image_of(const TableParams& p, const Buffers& at, int begin, int end) {
  const auto* tables = static_cast<const Vec::Table*>(p.weights);
  const Vec::Bytes spread = four_byte_pixels(p.in.pixel);
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < p.out.w; x += kImageLanes * kVectorPixels) {
      const int vectors = (p.out.w - x + kVectorPixels - 1) / kVectorPixels;
      Vec::Bytes rows[kImageLanes];
      unrolled<kImageLanes>([&](auto i) BITWRIGHT_INLINE {
        const uint8_t* parts[Vec::kBytes / 16];
        for (int part = 0; part < Vec::kBytes / 16; ++part)
          parts[part] = at.in + y * p.in.row + (x + (i < vectors ? i : 0) * kVectorPixels + 4 * part) * p.in.pixel;
        rows[i] = Vec::shuffled(Vec::load_parts<Vec::kBytes / 16>(parts), spread);
      });
      turn<4>(rows);
      unrolled<kChannels>([&](auto c) BITWRIGHT_INLINE { rows[c] = tables[c].look_up_any(rows[c]); });
      turn<2>(rows);
      uint8_t* out = at.out + y * p.out.row + x * kImageLanes;
      unrolled<kImageLanes>([&](auto i) BITWRIGHT_INLINE {
        if (i < vectors) Vec::store(rows[i], out + i * Vec::kBytes, kImageLanes * (p.out.w - x) - i * Vec::kBytes);
      });
    }
}

void run_image(const TableParams& p, const Buffers& at, int begin, int end) {
  constexpr void (*kRuns[])(const TableParams&, const Buffers&, int, int) = {run_image_of<1>, run_image_of<2>, run_image_of<3>,
                                                                             run_image_of<4>};
  kRuns[p.out.c - 1](p, at, begin, end);
}

}  // namespace
}  // namespace bitwright
