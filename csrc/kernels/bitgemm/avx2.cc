// Bits are counted by VPSHUFB, half a byte at a time, into bytes, which are added up before they can overflow. Tiles of up to
// 2 pixels x 32 channels.
#include <immintrin.h>

#include "kernels/bitgemm/packing.h"
#include "kernels/epilogue_avx2.h"

namespace bitwright {
namespace {

constexpr int kMostPixels = 2, kVectors = 4;
constexpr int kWordsPerByte = 31;  // 8 bits each in a byte of 255

inline __m256i popcount_bytes(__m256i bits) {
  const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i half = _mm256_set1_epi8(15);
  __m256i low = _mm256_shuffle_epi8(counts, _mm256_and_si256(bits, half));
  __m256i high = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(bits, 4), half));
  return _mm256_add_epi8(low, high);
}

// Four bytes to one int32.
inline __m256i widen(__m256i bytes) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
}

inline __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

// Counts of 8 channels, from vector `v` of the block.
template <int kPixels, bool kMasked>
void count_vector(const BitgemmParams& p, const PackedBits& packed, const uint32_t* weights, const BitPixel* pixels, int v,
                  __m256i (&total)[kPixels]) {
  constexpr int kStep = kMasked ? 2 * kBitBlock : kBitBlock;
  for (__m256i& t : total) t = _mm256_setzero_si256();
  for (int plane = p.planes - 1; plane >= 0; --plane) {
    const uint32_t* w = weights + 8 * v;
    const int32_t* offsets = packed.offsets();
    for (__m256i& t : total) t = _mm256_slli_epi32(t, 1);
    for (int begin = 0; begin < packed.words; begin += kWordsPerByte) {
      int end = begin + kWordsPerByte < packed.words ? begin + kWordsPerByte : packed.words;
      __m256i bytes[kPixels] = {};
      for (int i = begin; i < end; ++i, w += kStep) {
        __m256i sign = load(w), mask = kMasked ? load(w + kBitBlock) : sign;
        for (int r = 0; r < kPixels; ++r) {
          int word;
          __builtin_memcpy(&word, pixels[r].in + plane * packed.plane_bytes + offsets[i], 4);
          __m256i differ = _mm256_xor_si256(_mm256_set1_epi32(word), sign);
          if (kMasked) differ = _mm256_and_si256(differ, mask);
          bytes[r] = _mm256_add_epi8(bytes[r], popcount_bytes(differ));
        }
      }
      for (int r = 0; r < kPixels; ++r) total[r] = _mm256_add_epi32(total[r], widen(bytes[r]));
    }
  }
}

template <int kPixels, bool kMasked>
void sum_up(const BitgemmParams& p, const PackedBits& packed, const BitPixel* pixels, int block,
            __m256i (&sums)[kMostPixels][kVectors]) {
  for (int v = 0; v < kVectors && block * kBitBlock + 8 * v < p.out.c; ++v) {
    __m256i total[kPixels];
    count_vector<kPixels, kMasked>(p, packed, packed.block(block), pixels, v, total);
    for (int r = 0; r < kPixels; ++r)
      sums[r][v] = _mm256_sub_epi32(load(pixels[r].start + block * kBitBlock + 8 * v), _mm256_slli_epi32(total[r], p.doubled));
  }
}

uint32_t thresholded(const BitgemmParams& p, const __m256i (&sums)[kVectors], int block) {
  uint32_t below = 0;
  for (int v = 0; v < kVectors; ++v) {
    __m256i less = _mm256_cmpgt_epi32(load(p.thresholds + block * kBitBlock + 8 * v), sums[v]);
    below |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(less))) << 8 * v;
  }
  return (~below ^ p.flips[block]) & real_channels(p, block);
}

void finish_pixel(const BitgemmParams& p, const Epilogue256& epilogue, const BitPixel& pixel, const __m256i (&sums)[kVectors],
                  int block) {
  if (p.thresholds) return store_bits(p, 0, block, thresholded(p, sums, block), pixel.out);
  int channel = block * kBitBlock;
  alignas(32) uint8_t codes[kBitBlock] = {};
  uint8_t* out = p.packed_planes ? pixel_of(codes, channel) : pixel.out;
  for (int half = 0; half < 2; ++half) {
    int first = channel + 16 * half, end = p.epilogue.to_float ? p.out.c : p.out.lanes;
    if (first >= end || first >= p.out.c) continue;
    epilogue.store<1>({{sums[2 * half], sums[2 * half + 1]}}, first, &pixel.second, &out, end - first);
  }
  __m256i bytes = load(codes);
  for (int plane = 0; plane < p.packed_planes; ++plane) {
    auto bits = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_slli_epi16(bytes, 7 - plane)));
    store_bits(p, plane, block, bits & real_channels(p, block), pixel.out);
  }
}

void run_piece(const BitgemmParams& p, const PackedBits& packed, const Buffers& at, const BitPiece& piece) {
  Epilogue256 epilogue(p.epilogue);
  BitPixel all[kPixelBlock];
  locate_pixels(p, at, piece, all);
  for (int left = piece.last - piece.first; left > 0; left -= kMostPixels) {
    int count = left < kMostPixels ? left : kMostPixels;
    const BitPixel* pixels = all + (piece.last - piece.first - left);
    __m256i sums[kMostPixels][kVectors] = {};
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

const Kernel<BitgemmParams> bitgemm_avx2 = {bit_pieces, packed_bits_bytes, pack_bits, nullptr, run};

}  // namespace bitwright
