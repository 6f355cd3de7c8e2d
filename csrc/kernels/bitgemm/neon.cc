// Bits are counted by CNT into bytes, which are added up before they can overflow. Tiles of up to 2 pixels x 32 channels.
#include "kernels/bitgemm/packing.h"
#include "kernels/epilogue_neon.h"

namespace bitwright {
namespace {

constexpr int kMostPixels = 2, kVectors = 8;
constexpr int kWordsPerByte = 31;  // 8 bits each in a byte of 255

// Counts of 16 channels, vectors `v` to v + 3 of the block.
template <int kPixels, bool kMasked>
void count_vectors(const BitgemmParams& p, const PackedBits& packed, const uint32_t* weights, const BitPixel* pixels, int v,
                   uint32x4_t (&total)[kPixels][4]) {
  constexpr int kStep = kMasked ? 2 * kBitBlock : kBitBlock;
  for (auto& of_pixel : total)
    for (uint32x4_t& t : of_pixel) t = vdupq_n_u32(0);
  for (int plane = p.planes - 1; plane >= 0; --plane) {
    const uint32_t* w = weights + 4 * v;
    const int32_t* offsets = packed.offsets();
    for (auto& of_pixel : total)
      for (uint32x4_t& t : of_pixel) t = vshlq_n_u32(t, 1);
    for (int begin = 0; begin < packed.words; begin += kWordsPerByte) {
      int end = begin + kWordsPerByte < packed.words ? begin + kWordsPerByte : packed.words;
      uint8x16_t bytes[kPixels][4] = {};
      for (int i = begin; i < end; ++i, w += kStep)
        unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
          uint32_t word;
          __builtin_memcpy(&word, pixels[r].in + plane * packed.plane_bytes + offsets[i], 4);
          unrolled<4>([&](auto k) BITWRIGHT_INLINE {
            uint32x4_t differ = veorq_u32(vdupq_n_u32(word), vld1q_u32(w + 4 * k));
            if (kMasked) differ = vandq_u32(differ, vld1q_u32(w + kBitBlock + 4 * k));
            bytes[r][k] = vaddq_u8(bytes[r][k], vcntq_u8(vreinterpretq_u8_u32(differ)));
          });
        });
      for (int r = 0; r < kPixels; ++r)
        for (int k = 0; k < 4; ++k) total[r][k] = vpadalq_u16(total[r][k], vpaddlq_u8(bytes[r][k]));
    }
  }
}

template <int kPixels, bool kMasked>
void sum_up(const BitgemmParams& p, const PackedBits& packed, const BitPixel* pixels, int block,
            int32x4_t (&sums)[kMostPixels][kVectors]) {
  const int32x4_t shift = vdupq_n_s32(p.doubled);
  for (int v = 0; v < kVectors && block * kBitBlock + 4 * v < p.out.c; v += 4) {
    uint32x4_t total[kPixels][4];
    count_vectors<kPixels, kMasked>(p, packed, packed.block(block), pixels, v, total);
    for (int r = 0; r < kPixels; ++r)
      for (int k = 0; k < 4; ++k) {
        int32x4_t start = vld1q_s32(pixels[r].start + block * kBitBlock + 4 * (v + k));
        sums[r][v + k] = vsubq_s32(start, vreinterpretq_s32_u32(vshlq_u32(total[r][k], shift)));
      }
  }
}

uint32_t thresholded(const BitgemmParams& p, const int32x4_t (&sums)[kVectors], int block) {
  static constexpr uint32_t kPlaces[] = {1, 2, 4, 8};
  uint32_t bits = 0;
  for (int v = 0; v < kVectors; ++v) {
    uint32x4_t there = vcgeq_s32(sums[v], vld1q_s32(p.thresholds + block * kBitBlock + 4 * v));
    bits |= vaddvq_u32(vandq_u32(there, vld1q_u32(kPlaces))) << 4 * v;
  }
  return (bits ^ p.flips[block]) & real_channels(p, block);
}

void finish_pixel(const BitgemmParams& p, const Epilogue128& epilogue, const BitPixel& pixel, const int32x4_t (&sums)[kVectors],
                  int block) {
  if (p.thresholds) return store_bits(p, 0, block, thresholded(p, sums, block), pixel.out);
  int channel = block * kBitBlock;
  uint8_t codes[kBitBlock] = {};
  uint8_t* out = p.packed_planes ? pixel_of(codes, channel) : pixel.out;
  for (int half = 0; half < 2; ++half) {
    int first = channel + 16 * half, end = p.epilogue.to_float ? p.out.c : p.out.lanes;
    if (first >= end || first >= p.out.c) continue;
    const int32x4_t* s = sums + 4 * half;
    epilogue.store<1>({{s[0], s[1], s[2], s[3]}}, first, &pixel.second, &out, end - first);
  }
  for (int plane = 0; plane < p.packed_planes; ++plane) {
    uint32_t low = Vec128::bits(vld1q_u8(codes), plane), high = Vec128::bits(vld1q_u8(codes + 16), plane);
    store_bits(p, plane, block, (low | high << 16) & real_channels(p, block), pixel.out);
  }
}

void run_piece(const BitgemmParams& p, const PackedBits& packed, const Buffers& at, const BitPiece& piece) {
  const Epilogue128 epilogue(p.epilogue);
  BitPixel all[kPixelBlock];
  locate_pixels(p, at, piece, all);
  for (int left = piece.last - piece.first; left > 0; left -= kMostPixels) {
    int count = left < kMostPixels ? left : kMostPixels;
    const BitPixel* pixels = all + (piece.last - piece.first - left);
    int32x4_t sums[kMostPixels][kVectors] = {};
    if (count == 2)
      (p.masked ? sum_up<2, true> : sum_up<2, false>)(p, packed, pixels, piece.block, sums);
    else
      (p.masked ? sum_up<1, true> : sum_up<1, false>)(p, packed, pixels, piece.block, sums);
    for (int r = 0; r < count; ++r) finish_pixel(p, epilogue, pixels[r], sums[r], piece.block);
  }
}

void run(const BitgemmParams& p, const Buffers& at, int begin, int end) {
  const auto& packed = *static_cast<const PackedBits*>(p.weights);
  for (int i = begin; i < end; ++i) run_piece(p, packed, at, bit_piece(p, i));
}

}  // namespace

const Kernel<BitgemmParams> bitgemm_neon = {bit_pieces, packed_bits_bytes, pack_bits, nullptr, run};

}  // namespace bitwright
