// Blocks of 16 channels: all that belongs to a block stays in registers while its pixels pass.
#include <immintrin.h>

#include "../epilogue_avx2.h"
#include "elementwise.h"

namespace bitwright {
namespace {

constexpr int kChannels = 16, kPixels = 2;

bool accepts(const ElementwiseParams& p) { return !p.epilogue.to_float && !p.zps; }

int units(const ElementwiseParams& p) { return p.out.h; }

__m256 widen(const uint8_t* codes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes))));
}

__m256 all(int number) { return _mm256_set1_ps(static_cast<float>(number)); }

// Each gives t, with the output's zero point, of 8 channels: those of vector v of the block that begins at channel c.
// Differences of codes and the products of two are whole numbers below 2^24, so float32 holds them exactly.
struct Add {
  Add(const ElementwiseParams& p, const Buffers&, int)
      : zp(all(p.zp)),
        second_zp(all(p.second_zp)),
        m(_mm256_set1_ps(p.m)),
        m_second(_mm256_set1_ps(p.m_second)),
        out_zp(_mm256_set1_ps(p.out_zp)) {}
  __m256 operator()(int, const uint8_t* in, const uint8_t* second) const {
    __m256 a = _mm256_mul_ps(_mm256_sub_ps(widen(in), zp), m);
    __m256 b = _mm256_mul_ps(_mm256_sub_ps(widen(second), second_zp), m_second);
    return _mm256_add_ps(_mm256_add_ps(a, b), out_zp);
  }
  __m256 zp, second_zp, m, m_second, out_zp;
};

struct Mul {
  Mul(const ElementwiseParams& p, const Buffers&, int)
      : zp(all(p.zp)), second_zp(all(p.second_zp)), m(_mm256_set1_ps(p.m)), out_zp(_mm256_set1_ps(p.out_zp)) {}
  __m256 operator()(int, const uint8_t* in, const uint8_t* second) const {
    __m256 product = _mm256_mul_ps(_mm256_sub_ps(widen(in), zp), _mm256_sub_ps(widen(second), second_zp));
    return _mm256_add_ps(_mm256_mul_ps(product, m), out_zp);
  }
  __m256 zp, second_zp, m, out_zp;
};

// mul with one factor a channel.
struct Scale {
  Scale(const ElementwiseParams& p, const Buffers& at, int c)
      : zp(all(p.zp)), m(_mm256_set1_ps(p.m)), out_zp(_mm256_set1_ps(p.out_zp)) {
    for (int v = 0; v < 2; ++v) factor[v] = _mm256_sub_ps(widen(at.second + c + 8 * v), all(p.second_zp));
  }
  __m256 operator()(int v, const uint8_t* in, const uint8_t*) const {
    __m256 product = _mm256_mul_ps(_mm256_sub_ps(widen(in), zp), factor[v]);
    return _mm256_add_ps(_mm256_mul_ps(product, m), out_zp);
  }
  __m256 zp, factor[2], m, out_zp;
};

struct Affine {
  Affine(const ElementwiseParams& p, const Buffers&, int c) : zp(all(p.zp)) {
    for (int v = 0; v < 2; ++v) {
      m[v] = _mm256_loadu_ps(p.epilogue.m + c + 8 * v);
      b[v] = _mm256_loadu_ps(p.epilogue.b + c + 8 * v);
    }
  }
  __m256 operator()(int v, const uint8_t* in, const uint8_t*) const {
    return _mm256_add_ps(_mm256_mul_ps(_mm256_sub_ps(widen(in), zp), m[v]), b[v]);
  }
  __m256 zp, m[2], b[2];
};

template <class Op>
void blocks(const ElementwiseParams& p, const Buffers& at, int begin, int end) {
  const Epilogue256 epilogue(p.epilogue);
  for (int c = 0; c < p.out.c; c += kChannels) {
    const Op op(p, at, c);
    for (int y = begin; y < end; ++y) {
      const uint8_t *row = at.in + y * p.in.row + c, *second_row = at.second + y * p.second.row + c;
      uint8_t* out_row = at.out + y * p.out.row + c;
      for (int x = 0; x < p.out.w; x += kPixels) {
        __m256 t[kPixels][2];
        uint8_t* out[kPixels];
        for (int i = 0; i < kPixels; ++i) {
          int place = x + i < p.out.w ? x + i : p.out.w - 1;
          const uint8_t *in = row + place * p.in.pixel, *second = second_row + place * p.second.pixel;
          for (int v = 0; v < 2; ++v) t[i][v] = op(v, in + 8 * v, second + 8 * v);
          out[i] = out_row + place * p.out.pixel;
        }
        epilogue.store_codes(t, out, p.out.lanes - c);
      }
    }
  }
}

void run(const ElementwiseParams& p, const Buffers& at, int begin, int end) {
  switch (p.op) {
    case Elementwise::add: return blocks<Add>(p, at, begin, end);
    case Elementwise::mul: return p.per_channel ? blocks<Scale>(p, at, begin, end) : blocks<Mul>(p, at, begin, end);
    case Elementwise::affine: return blocks<Affine>(p, at, begin, end);
  }
}

}  // namespace

const KernelRow<ElementwiseParams> elementwise_avx2 = {
    "elementwise, 16 channels", Isa::avx2, accepts, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
