#include "training/histogram.h"

#include <vector>

namespace bitwright {
namespace {

constexpr size_t kTables = 4;  // so that equal neighbours, such as zeros, do not wait for each other
constexpr size_t kBlock = 256;
constexpr size_t kMost = size_t{1} << 30;

inline int bin_of(float value, float scale) {
  float scaled = value * scale;
  int whole = static_cast<int>(scaled);
  return whole - ((value < 0) & ((scaled == 0) | (static_cast<float>(whole) != scaled)));
}

}  // namespace

void count_bins(const float* values, size_t size, float scale, int64_t* counts, int side) {
  const size_t bins = 2 * static_cast<size_t>(side);
  std::vector<uint32_t> tables(kTables * bins);
  uint32_t* const table[kTables] = {&tables[side], &tables[bins + side], &tables[2 * bins + side], &tables[3 * bins + side]};
  int found[kBlock];
  for (size_t start = 0; start < size; start += kMost) {
    const size_t end = size - start < kMost ? size : start + kMost;
    size_t i = start;
    for (; i + kBlock <= end; i += kBlock) {
      for (size_t k = 0; k < kBlock; ++k) found[k] = bin_of(values[i + k], scale);
      for (size_t k = 0; k < kBlock; k += kTables)
        for (size_t t = 0; t < kTables; ++t) ++table[t][found[k + t]];
    }
    for (; i < end; ++i) ++table[0][bin_of(values[i], scale)];
    for (size_t bin = 0; bin < bins; ++bin)
      for (size_t t = 0; t < kTables; ++t) counts[bin] += tables[t * bins + bin], tables[t * bins + bin] = 0;
  }
}

}  // namespace bitwright
