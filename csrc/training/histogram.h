#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// counts[bin + side] += 1 for each of `values`, all finite and |value * scale| <= side, where bin is floor(value * scale)
// and, for what is below zero but too small to scale, -1. `counts` has 2 * side numbers.
void count_bins(const float* values, size_t size, float scale, int64_t* counts, int side);

}  // namespace bitwright
