// The kernels of csrc/pictures as plain loops, which bench/instructions.py compares with NEON's.
#include <algorithm>

#include "pictures/taps.h"

namespace bitwright {
namespace {

uint8_t code(int sum) { return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255)); }

}  // namespace

void resize_along_rows(const uint8_t* const (&in)[kRowsAtOnce], uint8_t* const (&out)[kRowsAtOnce], const Taps& taps) {
  for (int row = 0; row < kRowsAtOnce; ++row)
    for (int i = 0; i < taps.outputs; ++i) {
      int red = 1 << (kWeightBits - 1), green = red, blue = red;
      const uint8_t* x = in[row] + 3 * taps.first[i];
      for (int tap = 0; tap < taps.taps; ++tap, x += 3) {
        int weight = taps.high[i * taps.taps + tap] * (1 << kLowBits) + taps.low[i * taps.taps + tap];
        red += x[0] * weight, green += x[1] * weight, blue += x[2] * weight;
      }
      out[row][3 * i] = code(red), out[row][3 * i + 1] = code(green), out[row][3 * i + 2] = code(blue);
    }
}

void resize_along_columns(const uint8_t* in, ptrdiff_t stride, const Taps& taps, int i, uint8_t* out, int bytes) {
  const uint8_t* x = in + stride * taps.first[i];
  for (int b = 0; b < bytes; ++b) {
    int sum = 1 << (kWeightBits - 1);
    for (int tap = 0; tap < taps.taps; ++tap)
      sum += x[tap * stride + b] * (taps.high[i * taps.taps + tap] * (1 << kLowBits) + taps.low[i * taps.taps + tap]);
    out[b] = code(sum);
  }
}

}  // namespace bitwright
