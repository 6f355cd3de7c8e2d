// Blocks of up to 64 channels: all that belongs to a block stays in registers while its pixels pass.
#include <immintrin.h>

#include "../epilogue_avx512.h"
#include "elementwise.h"

namespace bitwright {
namespace {

constexpr int kMostVectors = 4;

bool accepts(const ElementwiseParams& p) { return !p.epilogue.to_float && !p.zps; }

int units(const ElementwiseParams& p) { return p.out.h; }

__m512 widen(const uint8_t* codes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes))));
}

__m512 all(int number) { return _mm512_set1_ps(static_cast<float>(number)); }

// Each gives t, with the output's zero point, of 16 channels: those of vector v of the block that begins at channel c.
// Differences of codes and the products of two are whole numbers below 2^24, so float32 holds them exactly.
template <int kVectors>
struct Add {
  Add(const ElementwiseParams& p, const Buffers&, int)
      : zp(all(p.zp)),
        second_zp(all(p.second_zp)),
        m(_mm512_set1_ps(p.m)),
        m_second(_mm512_set1_ps(p.m_second)),
        out_zp(_mm512_set1_ps(p.out_zp)) {}
  __m512 operator()(int, const uint8_t* in, const uint8_t* second) const {
    __m512 a = _mm512_mul_ps(_mm512_sub_ps(widen(in), zp), m);
    __m512 b = _mm512_mul_ps(_mm512_sub_ps(widen(second), second_zp), m_second);
    return _mm512_add_ps(_mm512_add_ps(a, b), out_zp);
  }
  __m512 zp, second_zp, m, m_second, out_zp;
};

template <int kVectors>
struct Mul {
  Mul(const ElementwiseParams& p, const Buffers&, int)
      : zp(all(p.zp)), second_zp(all(p.second_zp)), m(_mm512_set1_ps(p.m)), out_zp(_mm512_set1_ps(p.out_zp)) {}
  __m512 operator()(int, const uint8_t* in, const uint8_t* second) const {
    __m512 product = _mm512_mul_ps(_mm512_sub_ps(widen(in), zp), _mm512_sub_ps(widen(second), second_zp));
    return _mm512_add_ps(_mm512_mul_ps(product, m), out_zp);
  }
  __m512 zp, second_zp, m, out_zp;
};

// mul with one factor a channel: (x - zp) * factor = x * factor + shift, exact even fused.
template <int kVectors>
struct Scale {
  Scale(const ElementwiseParams& p, const Buffers& at, int c) : m(_mm512_set1_ps(p.m)), out_zp(_mm512_set1_ps(p.out_zp)) {
    for (int v = 0; v < kVectors; ++v) {
      factor[v] = _mm512_sub_ps(widen(at.second + c + 16 * v), all(p.second_zp));
      shift[v] = _mm512_mul_ps(factor[v], all(-p.zp));
    }
  }
  __m512 operator()(int v, const uint8_t* in, const uint8_t*) const {
    return _mm512_add_ps(_mm512_mul_ps(_mm512_fmadd_ps(widen(in), factor[v], shift[v]), m), out_zp);
  }
  __m512 factor[kVectors], shift[kVectors], m, out_zp;
};

template <int kVectors>
struct Affine {
  Affine(const ElementwiseParams& p, const Buffers&, int c) : zp(all(p.zp)) {
    for (int v = 0; v < kVectors; ++v) {
      m[v] = _mm512_loadu_ps(p.epilogue.m + c + 16 * v);
      b[v] = _mm512_loadu_ps(p.epilogue.b + c + 16 * v);
    }
  }
  __m512 operator()(int v, const uint8_t* in, const uint8_t*) const {
    return _mm512_add_ps(_mm512_mul_ps(_mm512_sub_ps(widen(in), zp), m[v]), b[v]);
  }
  __m512 zp, m[kVectors], b[kVectors];
};

struct Rows {
  int begin, end;
};

// Channels c.. of all pixels of some rows.
template <template <int> class Op, int kVectors>
void block(const ElementwiseParams& p, const Buffers& at, int c, Rows rows) {
  const Op<kVectors> op(p, at, c);
  const Table512 table(p.epilogue.table);
  const bool look_up = p.epilogue.table, narrow = p.epilogue.narrow;
  const __m512 bound = _mm512_set1_ps(p.epilogue.hi);
  const __m512i lo = _mm512_set1_epi8(static_cast<char>(static_cast<int>(p.epilogue.lo)));
  const __m512i hi = _mm512_set1_epi8(static_cast<char>(static_cast<int>(p.epilogue.hi)));
  const __mmask64 mask = first_lanes(p.out.lanes - c < 16 * kVectors ? p.out.lanes - c : 16 * kVectors);
  for (int y = rows.begin; y < rows.end; ++y) {
    const uint8_t *in = at.in + y * p.in.row + c, *second = at.second + y * p.second.row + c;
    uint8_t* out = at.out + y * p.out.row + c;
    for (int x = 0; x < p.out.w; ++x, in += p.in.pixel, second += p.second.pixel, out += p.out.pixel) {
      __m512i codes[kMostVectors] = {};
      for (int v = 0; v < kVectors; ++v) {
        __m512 t = op(v, in + 16 * v, second + 16 * v);
        if (!narrow) t = _mm512_min_ps(t, bound);
        codes[v] = _mm512_cvtps_epi32(t);
      }
      __m512i bytes = pack_bytes(codes[0], codes[1], codes[2], codes[3]);
      bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, lo), hi);
      if (look_up) bytes = table.look_up(bytes);
      _mm512_mask_storeu_epi8(out, mask, bytes);
    }
  }
}

template <template <int> class Op>
void blocks(const ElementwiseParams& p, const Buffers& at, Rows rows) {
  constexpr void (*kBlocks[])(const ElementwiseParams&, const Buffers&, int, Rows) = {block<Op, 1>, block<Op, 2>, block<Op, 3>,
                                                                                      block<Op, 4>};
  for (int c = 0; c < p.out.c; c += 16 * kMostVectors) {
    int vectors = (p.out.c - c + 15) / 16;
    kBlocks[(vectors < kMostVectors ? vectors : kMostVectors) - 1](p, at, c, rows);
  }
}

void run(const ElementwiseParams& p, const Buffers& at, int begin, int end) {
  Rows rows = {begin, end};
  switch (p.op) {
    case Elementwise::add: return blocks<Add>(p, at, rows);
    case Elementwise::mul: return p.per_channel ? blocks<Scale>(p, at, rows) : blocks<Mul>(p, at, rows);
    case Elementwise::affine: return blocks<Affine>(p, at, rows);
  }
}

}  // namespace

const KernelRow<ElementwiseParams> elementwise_avx512vnni = {
    "elementwise, 64 channels", Isa::avx512vnni, accepts, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
