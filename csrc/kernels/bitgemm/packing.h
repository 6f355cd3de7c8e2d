// How bit weights are packed, and how a layer is cut into pieces of work: the same for every instruction set.
//
// A window is a list of words of 32 input channels, each somewhere in the packed input. Output channels come in blocks of
// 32: for each word of the window 32 words of weights, behind which lie, where weights may be 0, 32 words of masks.
#pragma once

#include "kernels/bitgemm/bitgemm.h"
#include "kernels/target.h"

namespace bitwright {

// The packed memory: this, the offsets, then the weights.
struct PackedBits {
  int words;                          // of a window, in one plane
  ptrdiff_t plane_bytes;              // from a plane of the input to the next
  ptrdiff_t block_words, weights;     // words of a block; bytes from here to the first

  // The distance in bytes of each word of a window from the window's first byte.
  BITWRIGHT_INLINE const int32_t* offsets() const { return reinterpret_cast<const int32_t*>(this + 1); }
  BITWRIGHT_INLINE const uint32_t* block(int index) const {
    return reinterpret_cast<const uint32_t*>(reinterpret_cast<const uint8_t*>(this) + weights) + index * block_words;
  }
};

size_t packed_bits_bytes(const BitgemmParams& p);
void pack_bits(const BitgemmParams& p, const int8_t* weights, void* packed);

// The pieces of work: output pixels [first, last), at most kPixelBlock, of a block of output channels.
constexpr int kPixelBlock = 48;
struct BitPiece {
  int block, first, last;
};
int bit_pieces(const BitgemmParams& p);
BitPiece bit_piece(const BitgemmParams& p, int index);

// The operands of one output pixel.
struct BitPixel {
  const uint8_t* in;      // the window's first byte, in plane 0
  const int32_t* start;
  const uint8_t* second;
  uint8_t* out;
};

inline namespace BITWRIGHT_TARGET {

// Fills in the operands of all pixels of a piece.
inline void locate_pixels(const BitgemmParams& p, const Buffers& at, const BitPiece& piece, BitPixel* pixels) {
  BitPixel* end = pixels + piece.last - piece.first;
  ptrdiff_t stride = p.window.stride_w * p.in.pixel;
  for (int y = piece.first / p.out.w, x = piece.first % p.out.w; pixels < end; x = 0, ++y) {
    ptrdiff_t top = y * p.window.stride_h - p.window.pad_top, left = x * p.window.stride_w - p.window.pad_left;
    const uint8_t *in = at.in + top * p.in.row + left * p.in.pixel, *second = at.second + y * p.second.row + x * p.second.pixel;
    uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
    const int32_t* start = p.start + p.start_rows[y];
    for (; x < p.out.w && pixels < end; ++x, in += stride, second += p.second.pixel, out += p.out.pixel)
      *pixels++ = {in, start + p.start_columns[x], second, out};
  }
}

// Where the pixel would begin whose channel `channel` is at `codes`: an epilogue takes a pixel and a channel. Reckoned with
// numbers, as the address lies outside of the array that `codes` points into.
inline uint8_t* pixel_of(uint8_t* codes, int channel) {
  return reinterpret_cast<uint8_t*>(reinterpret_cast<uintptr_t>(codes) - static_cast<uintptr_t>(channel));
}

// A word with a 1 for each bit of block `block` that is a channel of the output.
inline uint32_t real_channels(const BitgemmParams& p, int block) {
  int count = p.out.c - block * kBitBlock;
  return count >= 32 ? ~uint32_t{0} : (uint32_t{1} << count) - 1;
}

// Stores word `block` of plane `plane` of a packed pixel.
inline void store_bits(const BitgemmParams& p, int plane, int block, uint32_t bits, uint8_t* pixel) {
  __builtin_memcpy(pixel + (static_cast<ptrdiff_t>(plane) * p.out.lanes / kBitBlock + block) * 4, &bits, 4);
}

}  // namespace BITWRIGHT_TARGET

}  // namespace bitwright
