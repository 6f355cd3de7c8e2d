// Register tiles of up to 4 pixels x 32 channels, whose bits VPOPCNTD counts, or VPSHUFB half a byte at a time.
//
// Two words are counted at the price of one and a half: they and a vector of `ones` left over from before are added bit by
// bit (Warren, "Hacker's Delight", section 5-1), the sum is the new `ones`, and only the carries are counted, twice each.
#pragma once

#include <immintrin.h>

#include "kernels/bitgemm/packing.h"
#include "kernels/epilogue_avx512.h"

namespace bitwright {
namespace {

constexpr int kMostPixels = 4;

// Truth tables of VPTERNLOGD, whose operands are the bits 4, 2 and 1 of the index.
constexpr int truth_table(bool (*f)(bool, bool, bool)) {
  int table = 0;
  for (int i = 0; i < 8; ++i) table |= f(i & 4, i & 2, i & 1) << i;
  return table;
}
constexpr int kSum = truth_table([](bool a, bool b, bool c) { return (a ^ b ^ c) != 0; });
constexpr int kMajority = truth_table([](bool a, bool b, bool c) { return a + b + c >= 2; });
constexpr int kDiffer = truth_table([](bool x, bool w, bool mask) { return (x != w) && mask; });
// The carry of three bits whose running sums are given.
constexpr int kCarry = truth_table([](bool a, bool ab, bool abc) { return a + (a != ab) + (ab != abc) >= 2; });

// Written in assembly, because gcc copies the first operand of each intrinsic, which costs a quarter of the speed.
template <int kTable>
inline void ternary(__m512i& a, __m512i b, __m512i c) {
  __asm__("vpternlogd %3, %2, %1, %0" : "+v"(a) : "v"(b), "v"(c), "i"(kTable));
}
#ifdef __AVX512VPOPCNTDQ__
inline void add_popcount(__m512i& sum, __m512i bits) {
  __m512i count = _mm512_popcnt_epi32(bits);
  __asm__("vpaddd %1, %0, %0" : "+v"(sum) : "v"(count));
}
#else
// The four counts of an int32, added to it.
inline void add_bytes(__m512i& sum, __m512i bytes) {
  const __m512i ones = _mm512_set1_epi8(1);
#ifdef __AVX512VNNI__
  sum = _mm512_dpbusd_epi32(sum, bytes, ones);
#else
  sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(bytes, ones), _mm512_set1_epi16(1)));
#endif
}

inline void add_popcount(__m512i& sum, __m512i bits) {
  const __m512i counts = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m512i half = _mm512_set1_epi8(15);
  __m512i low = _mm512_shuffle_epi8(counts, _mm512_and_si512(bits, half));
  __m512i high = _mm512_shuffle_epi8(counts, _mm512_and_si512(_mm512_srli_epi16(bits, 4), half));
  add_bytes(sum, _mm512_add_epi8(low, high));
}
#endif

inline __m512i broadcast(const uint8_t* word) {
  int bits;
  __builtin_memcpy(&bits, word, 4);
  return _mm512_set1_epi32(bits);
}

template <bool kMasked>
struct Weights {
  __m512i sign, mask;
  static constexpr int kWords = kMasked ? 2 * kBitBlock : kBitBlock;

  explicit Weights(const uint32_t* w) : sign(_mm512_load_si512(w)), mask() {
    if constexpr (kMasked) mask = _mm512_load_si512(w + kBitBlock);
  }
};

template <bool kMasked>
inline void add_pair(__m512i& ones, __m512i& twos, __m512i x0, const Weights<kMasked>& w0, __m512i x1,
                     const Weights<kMasked>& w1) {
  __m512i carry = ones;
  if constexpr (kMasked) {
    ternary<kDiffer>(x0, w0.sign, w0.mask);
    ternary<kDiffer>(x1, w1.sign, w1.mask);
    ternary<kSum>(ones, x0, x1);
    ternary<kMajority>(carry, x0, x1);
  } else {
    ternary<kSum>(ones, x0, w0.sign);
    __m512i between = ones;
    ternary<kSum>(ones, x1, w1.sign);
    ternary<kCarry>(carry, between, ones);
  }
  add_popcount(twos, carry);
}

// counts[pixel][channel] of kPixels pixels and kVectors * 16 channels.
template <int kPixels, int kVectors, bool kMasked>
void count_bits(const BitgemmParams& p, const PackedBits& packed, const uint32_t* weights, const BitPixel* pixels,
                int32_t* counts) {
  constexpr int kWords = Weights<kMasked>::kWords;
  __m512i total[kPixels][kVectors], ones[kPixels][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kPixels; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) total[r][v] = _mm512_setzero_si512();
  for (int plane = p.planes - 1; plane >= 0; --plane) {
    const uint8_t* x[kPixels];
#pragma GCC unroll 16
    for (int r = 0; r < kPixels; ++r) {
      x[r] = pixels[r].in + plane * packed.plane_bytes;
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) ones[r][v] = _mm512_setzero_si512();
    }
    const uint32_t* w = weights;
    const int32_t* offset = packed.offsets();
    for (int i = 0; i + 2 <= packed.words; i += 2, w += 2 * kWords, offset += 2) {
      ptrdiff_t first = offset[0], second = offset[1];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        Weights<kMasked> w0(w + 16 * v), w1(w + kWords + 16 * v);
#pragma GCC unroll 16
        for (int r = 0; r < kPixels; ++r)
          add_pair(ones[r][v], total[r][v], broadcast(x[r] + first), w0, broadcast(x[r] + second), w1);
      }
    }
    if (packed.words % 2) {
#pragma GCC unroll 16
      for (int r = 0; r < kPixels; ++r)
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
          Weights<kMasked> last(w + 16 * v);
          __m512i bits = _mm512_xor_si512(broadcast(x[r] + *offset), last.sign);
          if constexpr (kMasked) bits = _mm512_and_si512(bits, last.mask);
          add_popcount(total[r][v], _mm512_and_si512(ones[r][v], bits));
          ones[r][v] = _mm512_xor_si512(ones[r][v], bits);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kPixels; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        total[r][v] = _mm512_slli_epi32(total[r][v], 1);
        add_popcount(total[r][v], ones[r][v]);
      }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kPixels; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) _mm512_store_si512(counts + r * kBitBlock + 16 * v, total[r][v]);
}

using CountBits = void (*)(const BitgemmParams&, const PackedBits&, const uint32_t*, const BitPixel*, int32_t*);

// By pixels, where there are up to 16 or up to 32 channels.
template <int kVectors, bool kMasked>
constexpr CountBits kCounts[kMostPixels] = {count_bits<1, kVectors, kMasked>, count_bits<2, kVectors, kMasked>,
                                            count_bits<3, kVectors, kMasked>, count_bits<4, kVectors, kMasked>};

// Turns counts into accumulators, in place.
void sum_up(const BitgemmParams& p, const BitPixel* pixels, int count, int channel, int32_t* sums) {
  for (int r = 0; r < count; ++r)
    for (int v = 0; v < kBitBlock; v += 16) {
      __m512i counts = _mm512_load_si512(sums + r * kBitBlock + v);
      if (p.doubled) counts = _mm512_slli_epi32(counts, 1);
      __m512i start = _mm512_loadu_si512(pixels[r].start + channel + v);
      _mm512_store_si512(sums + r * kBitBlock + v, _mm512_sub_epi32(start, counts));
    }
}

void store_thresholded(const BitgemmParams& p, const BitPixel* pixels, int count, int block, const int32_t* sums) {
  const int32_t* thresholds = p.thresholds + block * kBitBlock;
  __m512i low = _mm512_loadu_si512(thresholds), high = _mm512_loadu_si512(thresholds + 16);
  for (int r = 0; r < count; ++r, sums += kBitBlock) {
    // Joined as masks: gcc 12.2 may spill a 16-bit mask that is to be 32 bits wide by KMOVW, and reload it by a MOVL whose
    // upper half is then whatever the stack held (seen with -O1 and a sanitizer, whose calls make it spill).
    __mmask16 first = _mm512_cmpge_epi32_mask(_mm512_load_si512(sums), low);
    __mmask16 second = _mm512_cmpge_epi32_mask(_mm512_load_si512(sums + 16), high);
    uint32_t bits = _cvtmask32_u32(_mm512_kunpackw(second, first));
    store_bits(p, 0, block, (bits ^ p.flips[block]) & real_channels(p, block), pixels[r].out);
  }
}

void store_planes(const BitgemmParams& p, const uint8_t* codes, int block, uint8_t* pixel) {
  __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(codes));
  for (int plane = 0; plane < p.packed_planes; ++plane) {
    uint32_t bits = _mm256_test_epi8_mask(bytes, _mm256_set1_epi8(static_cast<char>(1 << plane)));
    store_bits(p, plane, block, bits & real_channels(p, block), pixel);
  }
}

void finish_pixels(const BitgemmParams& p, const BitPixel* pixels, int count, int block, int32_t* sums) {
  int channel = block * kBitBlock;
  sum_up(p, pixels, count, channel, sums);
  if (p.thresholds) return store_thresholded(p, pixels, count, block, sums);
  alignas(64) uint8_t codes[kPixelBlock][64];  // apart, so that none is taken for the next pixel
  Row512 rows[kPixelBlock];
  for (int r = 0; r < count; ++r)
    rows[r] = {sums + r * kBitBlock, pixels[r].second, p.packed_planes ? pixel_of(codes[r], channel) : pixels[r].out};
  int lanes = p.packed_planes ? kBitBlock : p.out.lanes - channel < kBitBlock ? p.out.lanes - channel : kBitBlock;
  finish_rows<2>(p.epilogue, channel, lanes, rows, count);
  if (p.packed_planes)
    for (int r = 0; r < count; ++r) store_planes(p, codes[r], block, pixels[r].out);
}

void run_piece(const BitgemmParams& p, const PackedBits& packed, const Buffers& at, const BitPiece& piece) {
  alignas(64) int32_t sums[kPixelBlock * kBitBlock];
  bool narrow = p.out.c - piece.block * kBitBlock <= 16;
  const CountBits* counts = p.masked ? (narrow ? kCounts<1, true> : kCounts<2, true>)
                            : narrow ? kCounts<1, false>
                                     : kCounts<2, false>;
  BitPixel pixels[kPixelBlock];
  int count = piece.last - piece.first;
  locate_pixels(p, at, piece, pixels);
  for (int r = 0, tile; r < count; r += tile) {
    int left = count - r, tiles = (left + kMostPixels - 1) / kMostPixels;
    tile = (left + tiles - 1) / tiles;
    counts[tile - 1](p, packed, packed.block(piece.block), pixels + r, sums + r * kBitBlock);
  }
  finish_pixels(p, pixels, count, piece.block, sums);
}

void run_pairs(const BitgemmParams& p, const Buffers& at, int begin, int end) {
  const auto& packed = *static_cast<const PackedBits*>(p.weights);
  for (int i = begin; i < end; ++i) run_piece(p, packed, at, bit_piece(p, i));
}

}  // namespace
}  // namespace bitwright
