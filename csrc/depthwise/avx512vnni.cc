// Dense lanes: four neighbouring pixels are interleaved so that each int32 lane holds four taps of one channel, and
// VPDPBUSD adds all four. A quad of pixels serves several outputs, each with the same weights shifted by its distance.
//
// Unpacking leaves channel 16 * lane + 4 * v + i in vector v, and packing the codes undoes just that, so only the
// per-channel numbers have to be brought into this order. Blocks of 32 or 16 channels work on two or four places of
// the row at once, so that the registers are full all the same.
#include <immintrin.h>

#include "../epilogue_avx512.h"
#include "depthwise.h"

namespace bitwright {
namespace {

// How many neighbouring outputs share their quads of pixels, and how many quads those are.
struct Sharing {
  int outs, quads;
};

Sharing sharing_of(const DepthwiseParams& p) {
  auto quads = [&](int outs) { return ((outs - 1) * p.window.stride_w + p.window.kw + 3) / 4; };
  if (p.out.w >= 4 && p.window.kw > 3 && quads(4) <= 2) return {4, 2};
  if (p.out.w >= 2 && quads(2) == quads(1)) return {2, quads(2)};
  return {1, quads(1)};
}

bool accepts(const DepthwiseParams& p) {
  return p.window.dilation_w == 1 && p.window.kw <= 8 && !p.epilogue.residual && !p.epilogue.to_float;
}

int units(const DepthwiseParams& p) { return p.out.h; }

// The widest block of channels, of 64, 32 or 16, that starts at `c`.
int block_width(const DepthwiseParams& p, int c) {
  int left = p.out.c - c;
  return left > 32 ? 64 : left > 16 ? 32 : 16;
}

constexpr int kBlock = 256;  // bytes of four vectors

size_t packed_bytes(const DepthwiseParams& p) {
  Sharing s = sharing_of(p);
  return static_cast<size_t>((p.out.c + 63) / 64) * p.window.kh * s.outs * s.quads * kBlock;
}

// [block of 64 channels][row of taps][output][quad][vector][lane][4 channels][4 taps]. Narrow blocks repeat in the lanes.
void pack(const DepthwiseParams& p, const int8_t* weights, void* packed) {
  Sharing s = sharing_of(p);
  auto* to = static_cast<int8_t*>(packed);
  for (int c = 0; c < p.out.c; c += 64)
    for (int ky = 0; ky < p.window.kh; ++ky)
      for (int out = 0; out < s.outs; ++out)
        for (int quad = 0; quad < s.quads; ++quad)
          for (int i = 0; i < kBlock; ++i) {
            int v = i / 64, lane = i / 16 % 4, channel = c + (16 * lane + 4 * v + i / 4 % 4) % block_width(p, c);
            int tap = 4 * quad + i % 4 - out * p.window.stride_w;
            bool inside = channel < p.out.c && tap >= 0 && tap < p.window.kw;
            *to++ = inside ? weights[(channel * p.window.kh + ky) * p.window.kw + tap] : int8_t{0};
          }
}

// 64 numbers in the order of the accumulators; the first `width` of them, repeated.
void in_lane_order(const void* numbers, int width, __m512i (&order)[4]) {
  const auto* from = static_cast<const int32_t*>(numbers);
  for (int v = 0; v < 4; ++v) {
    alignas(64) int32_t lanes[16];
    for (int i = 0; i < 16; ++i) lanes[i] = from[(16 * (i / 4) + 4 * v + i % 4) % width];
    order[v] = _mm512_load_si512(lanes);
  }
}

// A block of 64 / kPlaces channels, at kPlaces places of the row at once, kOuts outputs at each.
template <int kPlaces, int kOuts, int kQuads>
class Block {
 public:
  Block(const DepthwiseParams& p, const Buffers& at, int c)
      : p_(p), at_(at), c_(c), table_(p.epilogue.table), bound_(_mm512_set1_ps(p.epilogue.hi)) {
    hi_ = _mm512_set1_epi8(static_cast<char>(static_cast<int>(p.epilogue.hi)));
    lo_ = _mm512_set1_epi8(static_cast<char>(static_cast<int>(p.epilogue.lo)));
    weights_ = static_cast<const int8_t*>(p.weights) + static_cast<ptrdiff_t>(c / 64) * p.window.kh * kOuts * kQuads * kBlock;
    in_lane_order(p.start + c, kWidth, start_);
    in_lane_order(p.epilogue.m + c, kWidth, m_);
    in_lane_order(p.epilogue.b + c, kWidth, b_);
    mask_ = first_lanes(p.out.lanes - c < kWidth ? p.out.lanes - c : kWidth);
    int span = (kOuts - 1) * p.window.stride_w + p.window.kw;  // pixels beyond it have weights of zero: any will do
    for (int i = 0; i < 4 * kQuads; ++i) pixel_[i] = (i < span ? i : span - 1) * p.in.pixel;
  }

  void row(int y) const {
    const uint8_t* in = at_.in + c_ + (y * p_.window.stride_h - p_.window.pad_top) * p_.in.row;
    uint8_t* out = at_.out + c_ + y * p_.out.row;
    for (int x = 0; x < p_.out.w; x += kPlaces * kOuts) {
      int place[kPlaces];  // the last ones overlap with those before them
      for (int i = 0; i < kPlaces; ++i) place[i] = x + i * kOuts < p_.out.w - kOuts ? x + i * kOuts : p_.out.w - kOuts;
      __m512i acc[kOuts][4];
      sums(in, place, acc);
      for (int o = 0; o < kOuts; ++o) store(acc[o], out + o * p_.out.pixel, place);
    }
  }

 private:
  static constexpr int kWidth = 64 / kPlaces;

  void sums(const uint8_t* in, const int (&place)[kPlaces], __m512i (&acc)[kOuts][4]) const {
    for (int o = 0; o < kOuts; ++o)
      for (int v = 0; v < 4; ++v) acc[o][v] = start_[v];
    const uint8_t* x[kPlaces];
    for (int i = 0; i < kPlaces; ++i) x[i] = in + (place[i] * p_.window.stride_w - p_.window.pad_left) * p_.in.pixel;
    const int8_t* w = weights_;
    for (int ky = 0; ky < p_.window.kh; ++ky, w += kOuts * kQuads * kBlock) {
      for (int q = 0; q < kQuads; ++q) {
        __m512i taps[4];
        interleave(x, pixel_ + 4 * q, taps);
        for (int o = 0; o < kOuts; ++o)
          for (int v = 0; v < 4; ++v)
            acc[o][v] = _mm512_dpbusd_epi32(acc[o][v], taps[v], _mm512_load_si512(w + (o * kQuads + q) * kBlock + 64 * v));
      }
      for (int i = 0; i < kPlaces; ++i) x[i] += p_.window.dilation_h * p_.in.row;
    }
  }

  static __m512i load(const uint8_t* const (&x)[kPlaces], ptrdiff_t pixel) {
    if constexpr (kPlaces == 1) return _mm512_loadu_si512(x[0] + pixel);
    if constexpr (kPlaces == 2) {
      auto half = [&](int i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x[i] + pixel)); };
      return _mm512_inserti64x4(_mm512_castsi256_si512(half(0)), half(1), 1);
    }
    if constexpr (kPlaces == 4) {
      auto part = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x[i] + pixel)); };
      __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(part(0)), part(1), 1);
      __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(part(2)), part(3), 1);
      return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    }
  }

  static void interleave(const uint8_t* const (&x)[kPlaces], const ptrdiff_t* pixel, __m512i (&taps)[4]) {
    __m512i a = load(x, pixel[0]), b = load(x, pixel[1]), c = load(x, pixel[2]), d = load(x, pixel[3]);
    __asm__("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d));  // or gcc loads each twice, mostly across two cache lines
    __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
    __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
    taps[0] = _mm512_unpacklo_epi16(ab_low, cd_low), taps[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
    taps[2] = _mm512_unpacklo_epi16(ab_high, cd_high), taps[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
  }

  void store(const __m512i (&acc)[4], uint8_t* out, const int (&place)[kPlaces]) const {
    __m512i codes[4];
    for (int v = 0; v < 4; ++v) {
      __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[v]), _mm512_castsi512_ps(m_[v]));
      t = _mm512_add_ps(t, _mm512_castsi512_ps(b_[v]));
      if (!p_.epilogue.narrow) t = _mm512_min_ps(t, bound_);
      codes[v] = _mm512_cvtps_epi32(t);
    }
    __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(codes[0], codes[1]), _mm512_packs_epi32(codes[2], codes[3]));
    bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, lo_), hi_);
    if (p_.epilogue.table) bytes = table_.look_up(bytes);
    if constexpr (kPlaces == 1) _mm512_mask_storeu_epi8(out + place[0] * p_.out.pixel, mask_, bytes);
    if constexpr (kPlaces == 2) {
      auto mask = static_cast<__mmask32>(mask_);
      _mm256_mask_storeu_epi8(out + place[0] * p_.out.pixel, mask, _mm512_castsi512_si256(bytes));
      _mm256_mask_storeu_epi8(out + place[1] * p_.out.pixel, mask, _mm512_extracti64x4_epi64(bytes, 1));
    }
    if constexpr (kPlaces == 4) {
      auto mask = static_cast<__mmask16>(mask_);
      _mm_mask_storeu_epi8(out + place[0] * p_.out.pixel, mask, _mm512_castsi512_si128(bytes));
      _mm_mask_storeu_epi8(out + place[1] * p_.out.pixel, mask, _mm512_extracti32x4_epi32(bytes, 1));
      _mm_mask_storeu_epi8(out + place[2] * p_.out.pixel, mask, _mm512_extracti32x4_epi32(bytes, 2));
      _mm_mask_storeu_epi8(out + place[3] * p_.out.pixel, mask, _mm512_extracti32x4_epi32(bytes, 3));
    }
  }

  const DepthwiseParams& p_;
  const Buffers& at_;
  int c_;
  const int8_t* weights_;
  Table512 table_;
  __m512i start_[4], m_[4], b_[4];
  __m512 bound_;
  __m512i lo_, hi_;
  __mmask64 mask_;
  ptrdiff_t pixel_[4 * kQuads];
};

template <int kOuts, int kQuads>
void run_shared(const DepthwiseParams& p, const Buffers& at, int begin, int end) {
  auto rows = [&](const auto& block) {
    for (int y = begin; y < end; ++y) block.row(y);
  };
  for (int c = 0; c < p.out.c; c += 64) {
    switch (block_width(p, c)) {
      case 64: rows(Block<1, kOuts, kQuads>(p, at, c)); break;
      case 32: rows(Block<2, kOuts, kQuads>(p, at, c)); break;
      default: rows(Block<4, kOuts, kQuads>(p, at, c));
    }
  }
}

void run(const DepthwiseParams& p, const Buffers& at, int begin, int end) {
  Sharing s = sharing_of(p);
  if (s.outs == 4) return run_shared<4, 2>(p, at, begin, end);
  if (s.outs == 2) return s.quads == 1 ? run_shared<2, 1>(p, at, begin, end) : run_shared<2, 2>(p, at, begin, end);
  return s.quads == 1 ? run_shared<1, 1>(p, at, begin, end) : run_shared<1, 2>(p, at, begin, end);
}

}  // namespace

const KernelRow<DepthwiseParams> depthwise_avx512vnni = {
    "depthwise, dense lanes", Isa::avx512vnni, accepts, units, packed_bytes, pack, nullptr, run};

}  // namespace bitwright
