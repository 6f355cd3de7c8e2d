// The plainest loop: it accepts everything and is what the others are tested against.
#include "kernels/bitgemm/packing.h"
#include "kernels/epilogue_scalar.h"

namespace bitwright {
namespace {

// popcounts of the window against 32 channels' weights, each plane twice what the one below it is.
void count_bits(const BitgemmParams& p, const PackedBits& packed, const uint8_t* in, int block, int32_t (&counts)[kBitBlock]) {
  const int32_t* offsets = packed.offsets();
  for (int32_t& count : counts) count = 0;
  for (int plane = 0; plane < p.planes; ++plane) {
    const uint32_t* w = packed.block(block);
    for (int i = 0; i < packed.words; ++i, w += p.masked ? 2 * kBitBlock : kBitBlock) {
      uint32_t x;
      std::memcpy(&x, in + plane * packed.plane_bytes + offsets[i], 4);
      for (int o = 0; o < kBitBlock; ++o) {
        uint32_t differ = x ^ w[o];
        if (p.masked) differ &= w[kBitBlock + o];
        counts[o] += __builtin_popcount(differ) << plane;
      }
    }
  }
}

void finish_pixel(const BitgemmParams& p, const BitPixel& pixel, int block, const int32_t (&counts)[kBitBlock]) {
  int first = block * kBitBlock, last = first + kBitBlock < p.out.c ? first + kBitBlock : p.out.c;
  uint8_t codes[kBitBlock];
  uint32_t planes[8] = {};
  for (int c = first; c < last; ++c) {
    int i = c - first;
    int32_t acc = pixel.start[c] - (counts[i] << p.doubled);
    if (!p.packed_planes) {
      finish(p.epilogue, c, acc, pixel.second, pixel.out);
    } else if (p.thresholds) {
      planes[0] |= uint32_t{acc >= p.thresholds[c]} << i;
    } else {
      finish(p.epilogue, c, acc, pixel.second, pixel_of(codes, first));
      for (int plane = 0; plane < p.packed_planes; ++plane) planes[plane] |= uint32_t{codes[i] >> plane & 1u} << i;
    }
  }
  if (p.thresholds) planes[0] = (planes[0] ^ p.flips[block]) & real_channels(p, block);
  for (int plane = 0; plane < p.packed_planes; ++plane) store_bits(p, plane, block, planes[plane], pixel.out);
}

void run(const BitgemmParams& p, const Buffers& at, int begin, int end) {
  const auto& packed = *static_cast<const PackedBits*>(p.weights);
  for (int i = begin; i < end; ++i) {
    BitPiece piece = bit_piece(p, i);
    BitPixel pixels[kPixelBlock];
    locate_pixels(p, at, piece, pixels);
    for (int r = 0; r < piece.last - piece.first; ++r) {
      int32_t counts[kBitBlock];
      count_bits(p, packed, pixels[r].in, piece.block, counts);
      finish_pixel(p, pixels[r], piece.block, counts);
    }
  }
}

}  // namespace

const Kernel<BitgemmParams> bitgemm_scalar = {bit_pieces, packed_bits_bytes, pack_bits, nullptr, run};

}  // namespace bitwright
