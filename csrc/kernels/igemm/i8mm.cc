// USMMLA: eight codes, unsigned as they are, of each of two pixels with the same of each of two channels, which are 32
// products; it takes tiles of up to 6 pixels x 16 channels. SUDOT, with a quad of each of 4 channels at once, where there are
// no eight.
#include "kernels/igemm/tiles_neon.h"

namespace bitwright {
namespace {

struct Sudot {
  static constexpr int kBias = 0;
  using Codes = uint8x16_t;
  static Codes codes(uint8x16_t given) { return given; }
  template <int kLane>
  static int32x4_t add(int32x4_t sum, int8x16_t weights, Codes codes) {
    return vsudotq_laneq_s32(sum, weights, codes, kLane);
  }
};

struct Usmmla {
  static constexpr int kBias = 0;
};

constexpr int kMostPaired = 6;
constexpr int kPairedBlock = 48;

// Of two quads that follow each other in a run, the quads of a channel come together: octets. A last odd quad stays as it is.
void pack_octets(const IgemmParams& p, const int8_t* weights, void* packed) {
  pack_quads(p, weights, packed);
  const auto& h = *static_cast<const PackedIgemm*>(packed);
  auto* w = static_cast<int8_t*>(packed) + h.weights;
  for (int panel = 0; panel < h.groups * h.panels; ++panel)
    for (int run = 0; run < h.runs; ++run) {
      ptrdiff_t left = h.run_table()[run].quads;
      for (; left >= 2; left -= 2, w += 2 * kQuadBytes) {
        int32_t quads[2][kPanel], octets[kPanel][2];
        __builtin_memcpy(quads, w, sizeof(quads));
        for (int i = 0; i < kPanel; ++i) octets[i][0] = quads[0][i], octets[i][1] = quads[1][i];
        __builtin_memcpy(w, octets, sizeof(octets));
      }
      w += left * kQuadBytes;
    }
}

// A register of sums is of two pixels and two channels: c0 and c1 of the first pixel, c0 and c1 of the second one.
template <int kPixels>
void paired_tile(const IgemmParams& p, const PackedIgemm& packed, const Epilogue128& epilogue, const Tile& t) {
  constexpr int kPairs = (kPixels + 1) / 2;
  int32x4_t acc[kPairs][8];
  unrolled<8>([&](auto v) BITWRIGHT_INLINE {
    int32x2_t start = vld1_s32(p.start + t.channel + 2 * v);
    unrolled<kPairs>([&](auto pair) BITWRIGHT_INLINE { acc[pair][v] = vcombine_s32(start, start); });
  });
  const int8_t* w = t.weights;
  auto add = [&](auto v, int8x16_t weights, const uint8x16_t(&codes)[kPairs]) BITWRIGHT_INLINE {
    unrolled<kPairs>([&](auto pair) BITWRIGHT_INLINE { acc[pair][v] = vusmmlaq_s32(acc[pair][v], codes[pair], weights); });
  };
  for (const Run* run = packed.run_table(); run < packed.run_table() + packed.runs; ++run) {
    const uint8_t* x[2 * kPairs];
    unrolled<2 * kPairs>([&](auto r) BITWRIGHT_INLINE { x[r] = t.x[r < kPixels ? r : kPixels - 1] + run->offset; });
    uint8x16_t codes[kPairs];
    ptrdiff_t left = run->quads;
    for (; left >= 2; left -= 2, w += 2 * kQuadBytes) {
      unrolled<kPairs>([&](auto pair) BITWRIGHT_INLINE {
        codes[pair] = vcombine_u8(vld1_u8(x[2 * pair]), vld1_u8(x[2 * pair + 1]));
        x[2 * pair] += 8, x[2 * pair + 1] += 8;
      });
      unrolled<2>([&](auto half) BITWRIGHT_INLINE {
        int8x16x4_t weights = vld1q_s8_x4(w + half * kQuadBytes);
        unrolled<4>([&](auto v) BITWRIGHT_INLINE { add(Constant<4 * half + v>(), weights.val[v], codes); });
      });
    }
    if (left == 0) continue;
    unrolled<kPairs>([&](auto pair) BITWRIGHT_INLINE {
      uint32_t four[2];
      __builtin_memcpy(&four[0], x[2 * pair], 4);
      __builtin_memcpy(&four[1], x[2 * pair + 1], 4);
      codes[pair] = vcombine_u8(vcreate_u8(four[0]), vcreate_u8(four[1]));
    });
    int8x16x4_t weights = vld1q_s8_x4(w);
    w += kQuadBytes;
    unrolled<4>([&](auto v) BITWRIGHT_INLINE {  // a quad with zeros behind it
      int32x4_t quads = vreinterpretq_s32_s8(weights.val[v]), zero = vdupq_n_s32(0);
      add(Constant<2 * v>(), vreinterpretq_s8_s32(vzip1q_s32(quads, zero)), codes);
      add(Constant<2 * v + 1>(), vreinterpretq_s8_s32(vzip2q_s32(quads, zero)), codes);
    });
  }
  int32x4_t sums[kPixels][4];
  unrolled<kPixels>([&](auto r) BITWRIGHT_INLINE {
    unrolled<4>([&](auto v) BITWRIGHT_INLINE {
      int64x2_t a = vreinterpretq_s64_s32(acc[r / 2][2 * v]), b = vreinterpretq_s64_s32(acc[r / 2][2 * v + 1]);
      sums[r][v] = vreinterpretq_s32_s64(r % 2 ? vzip2q_s64(a, b) : vzip1q_s64(a, b));
    });
  });
  epilogue.store<kPixels>(sums, t.channel, t.second, t.out, t.count);
}

int paired_units(const IgemmParams& p) { return igemm_blocks(p, kPairedBlock, 1).grid.count(); }

void run_paired(const IgemmParams& p, const Buffers& at, int begin, int end) {
  constexpr RunTile kTiles[kMostPaired] = {paired_tile<1>, paired_tile<2>, paired_tile<3>,
                                           paired_tile<4>, paired_tile<5>, paired_tile<6>};
  run_tiles<Usmmla, kPairedBlock>(kTiles, p, at, begin, end);
}

}  // namespace

const Kernel<IgemmParams> gemv_i8mm = {gemv_units, packed_bytes<Sudot>, pack<Sudot>, nullptr, run_gemv<Sudot>};

const Kernel<IgemmParams> igemm_i8mm_pairs = {paired_units, packed_bytes<Usmmla>, pack_octets, nullptr, run_paired};

const Kernel<IgemmParams> igemm_i8mm = {units, packed_bytes<Sudot>, pack<Sudot>, nullptr, run<Sudot>};

}  // namespace bitwright
