// The contract between the runtime and the kernels: how an image's codes lie in memory, what the epilogue does, and what a
// kernel is. Files that are compiled for a target see only this header, their family's headers and plain C arrays, so that no
// inline function of the standard library is compiled for two targets under one name; target.h keeps ours apart.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// The codes of one image, NHWC: pixel (y, x) begins at data + y * row + x * pixel.
// - `pixel` is a multiple of 16 for c >= 16 and of 4 below (the image itself: 3 bytes).
// - Lanes c.. of a pixel hold anything; a kernel may write anything to lanes c..lanes, and nothing after.
// - The halo, when an op asked for one (padded convolutions, depthwise, average pools), is pixels at negative
//   y, x and beyond h, w that hold the zero point; the runtime fills it, kernels only read it.
// - Any 64-byte load that begins inside the map or its halo is safe; stores must stay inside.
// A value of shape [F] is h = w = 1, c = F. A float32 map has 4-byte lanes, strides still in bytes.
// A packed map holds codes as bit planes: a pixel is words of 32 channels, plane after plane, `lanes` bits each; bits beyond
// the last channel are 0.
struct Map {
  int h, w, c, lanes;
  ptrdiff_t row, pixel;
};

// t = f32(acc) * m[c]; t += b[c]; t += f32(r - r_zp) * m_r; code = table[clip(rint(t), lo, hi)]; see
// docs/arithmetic.md. m and b hold zeros up to the next multiple of 64 channels, so vectors need no masks.
struct Epilogue {
  const float* m;
  const float* b;
  float lo, hi;
  const uint8_t* table;  // 256 codes, or null
  bool residual;
  float m_r;
  int r_zp;
  bool to_float;  // store t itself
  bool narrow;    // no t reaches 2^31: it may be rounded to an integer before it is clipped
};

// The memory of a kernel's values. `second` is the residual or the other operand, and `third` one more, laid out as the params
// say.
struct Buffers {
  const uint8_t* in;
  const uint8_t* second;
  uint8_t* out;
  uint8_t* scratch;  // scratch_bytes of the row, one per thread, 64-byte aligned
  const uint8_t* third = nullptr;  // of kernels of three operands
  const uint8_t* const* summands = nullptr;  // of kernels that add up more operands than `in`
};

// A window that slides over `in`; pad_bottom and pad_right follow from the shapes.
struct Window {
  int kh, kw, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
};

// One kernel, compiled for one target. The work of a layer is `units(params)` independent pieces; `run` does [begin, end) of
// them and is called from several threads at once. Functions that a family does not need are null.
template <class Params>
struct Kernel {
  int (*units)(const Params&);
  size_t (*packed_bytes)(const Params&);
  void (*pack)(const Params&, const int8_t* weights, void* packed);  // weights as in docs/arithmetic.md
  size_t (*scratch_bytes)(const Params&);
  void (*run)(const Params&, const Buffers&, int begin, int end);
};

template <class Params>
struct KernelTable;  // see rows.h

}  // namespace bitwright
