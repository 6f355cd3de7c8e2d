// What resize.cc hands to its kernels: the weights of output pixels along one axis.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// Pixels are three bytes. Kernels read kSlack bytes beyond the last pixel that a weight belongs to, zero weights included.
constexpr int kRowsAtOnce = 4, kTapsAtOnce = 4, kSlack = 32;

// A weight is high * 2^kLowBits + low, so that products of 16 bits do: low is in 0 .. 2^kLowBits - 1. A sum that leaves int32
// on the way comes back, since it is taken modulo 2^32.
constexpr int kLowBits = 12, kWeightBits = 22;

// `taps` weights for each output pixel, a multiple of kTapsAtOnce with zeros behind; the first belongs to input pixel first[i].
struct Taps {
  int outputs, taps;
  const int* first;
  const int16_t* high;
  const int16_t* low;
};

// Output pixel i of four rows, for all i; four bytes are written for the last pixel, too. Each architecture has its own.
void resize_along_rows(const uint8_t* const (&in)[kRowsAtOnce], uint8_t* const (&out)[kRowsAtOnce], const Taps& taps);

// Output row i of `bytes` bytes from the rows that lie `stride` bytes apart from `in` on.
void resize_along_columns(const uint8_t* in, ptrdiff_t stride, const Taps& taps, int i, uint8_t* out, int bytes);

}  // namespace bitwright
