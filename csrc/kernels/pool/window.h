// The part of a pool's window that lies inside the image.
#pragma once

#include "kernels/pool/pool.h"

namespace bitwright {
namespace {

struct Range {
  int begin, end;
  int count() const { return end > begin ? end - begin : 0; }
};

// The taps of a window starting at `start` that lie inside [0, size).
inline Range taps_inside(int start, int taps, int dilation, int size) {
  int begin = start < 0 ? (-start + dilation - 1) / dilation : 0;
  int end = size > start ? (size - start + dilation - 1) / dilation : 0;
  return {begin, end < taps ? end : taps};
}

struct InsideWindow {
  int top, left;
  Range rows, columns;

  InsideWindow(const PoolParams& p, int y, int x)
      : top(y * p.window.stride_h - p.window.pad_top),
        left(x * p.window.stride_w - p.window.pad_left),
        rows(taps_inside(top, p.window.kh, p.window.dilation_h, p.in.h)),
        columns(taps_inside(left, p.window.kw, p.window.dilation_w, p.in.w)) {}

  // Calls visit(offset of the pixel) for each tap inside.
  template <class Visit>
  void each(const PoolParams& p, Visit visit) const {
    for (int ky = rows.begin; ky < rows.end; ++ky)
      for (int kx = columns.begin; kx < columns.end; ++kx)
        visit((top + ky * p.window.dilation_h) * p.in.row + (left + kx * p.window.dilation_w) * p.in.pixel);
  }
};

}  // namespace
}  // namespace bitwright
