// Pillow's resize of 8-bit RGB pixels and the crop behind it, to the bit, several times as fast.
//
// Each output pixel is a sum of input pixels weighted by a filter, along rows first and then along columns, with a rounding to
// 8 bits after each. Pillow's weights are whole numbers of 2^-22 and its sums are int32, so any order of adding is exact.
#pragma once

#include <cstdint>

#include "kernels/features.h"

namespace bitwright {

enum class Filter { box, bilinear, hamming, bicubic, lanczos };

struct Area {
  int top, left, height, width;
};

// False where Pillow is as fast: there is no plain kernel.
bool can_resize(Features features);

// `pixels` [height, width, 3] are resized to [new_height, new_width, 3]; of these, `area`, which lies inside, is written to
// `out`.
void resize_rgb(const uint8_t* pixels, int height, int width, int new_height, int new_width, Filter filter, const Area& area,
                uint8_t* out);

}  // namespace bitwright
