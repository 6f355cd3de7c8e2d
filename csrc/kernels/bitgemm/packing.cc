#include "kernels/bitgemm/packing.h"

#include <cstring>

namespace bitwright {
namespace {

PackedBits header(const BitgemmParams& p) {
  PackedBits h = {};
  h.words = p.in.lanes / kBitBlock * p.window.kh * p.window.kw;
  h.plane_bytes = p.in.lanes / 8;
  h.block_words = static_cast<ptrdiff_t>(h.words) * kBitBlock * (p.masked ? 2 : 1);
  h.weights = (static_cast<ptrdiff_t>(sizeof(h) + h.words * sizeof(int32_t)) + 63) / 64 * 64;
  return h;
}

int blocks(const BitgemmParams& p) { return (p.out.c + kBitBlock - 1) / kBitBlock; }

int pixel_blocks(const BitgemmParams& p) { return (p.out.h * p.out.w + kPixelBlock - 1) / kPixelBlock; }

}  // namespace

size_t packed_bits_bytes(const BitgemmParams& p) {
  PackedBits h = header(p);
  return static_cast<size_t>(h.weights) + static_cast<size_t>(blocks(p)) * h.block_words * 4;
}

void pack_bits(const BitgemmParams& p, const int8_t* weights, void* packed) {
  PackedBits h = header(p);
  std::memset(packed, 0, packed_bits_bytes(p));
  std::memcpy(packed, &h, sizeof(h));
  auto* offsets = reinterpret_cast<int32_t*>(static_cast<uint8_t*>(packed) + sizeof(h));
  int taps = p.window.kh * p.window.kw, words = p.in.lanes / kBitBlock, of_block = p.masked ? 2 * kBitBlock : kBitBlock;
  for (int tap = 0; tap < taps; ++tap)
    for (int i = 0; i < words; ++i) {
      ptrdiff_t y = tap / p.window.kw * p.window.dilation_h, x = tap % p.window.kw * p.window.dilation_w;
      *offsets++ = static_cast<int32_t>(y * p.in.row + x * p.in.pixel + 4 * i);
    }
  auto* to = reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(packed) + h.weights);
  for (int o = 0; o < p.out.c; ++o)
    for (int c = 0; c < p.in.c; ++c)
      for (int tap = 0; tap < taps; ++tap) {
        int w = *weights++;
        uint32_t* word = to + o / kBitBlock * h.block_words + (tap * words + c / kBitBlock) * of_block + o % kBitBlock;
        uint32_t bit = uint32_t{1} << c % kBitBlock;
        if (w > 0) word[0] |= bit;
        if (w != 0 && p.masked) word[kBitBlock] |= bit;
      }
}

int bit_pieces(const BitgemmParams& p) { return blocks(p) * pixel_blocks(p); }

// Pixels are spread evenly; what is larger, the weights or the input, is walked in the outer loop, that is once.
BitPiece bit_piece(const BitgemmParams& p, int index) {
  int64_t pixels = int64_t{p.out.h} * p.out.w;
  int all = pixel_blocks(p);
  bool weights_outer = static_cast<int64_t>(packed_bits_bytes(p)) > p.in.h * static_cast<int64_t>(p.in.row);
  int pixel = weights_outer ? index % all : index / blocks(p), block = weights_outer ? index / all : index % blocks(p);
  return {block, static_cast<int>(pixels * pixel / all), static_cast<int>(pixels * (pixel + 1) / all)};
}

}  // namespace bitwright
