// 64 channels of a pixel at once, channel block by channel block, so that per-channel numbers stay in registers. A
// product of two code differences is below 2^24, so float32 holds it exactly.
#include <immintrin.h>

#include "../epilogue_avx512.h"
#include "elementwise.h"

namespace bitwright {
namespace {

constexpr int kChannels = 64;

bool accepts(const ElementwiseParams& p) {
  bool to_float = p.op == Elementwise::affine ? p.epilogue.to_float : p.to_float;
  return !to_float && !p.zps;
}

int units(const ElementwiseParams& p) { return p.out.h; }

// Four vectors of float32: code - zero point.
struct Differences {
  __m512 at[4];

  Differences(const uint8_t* codes, __m512i zp) {
    for (int v = 0; v < 4; ++v) {
      __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + 16 * v)));
      at[v] = _mm512_cvtepi32_ps(_mm512_sub_epi32(wide, zp));
    }
  }
};

// The three formulas; each computes t before rounding, output zero point included.
struct Add {
  explicit Add(const ElementwiseParams& p)
      : m_a(_mm512_set1_ps(p.m)), m_b(_mm512_set1_ps(p.m_second)), out_zp(_mm512_set1_ps(p.out_zp)) {}
  __m512 operator()(const Differences& a, const Differences& b, int v) const {
    __m512 t = _mm512_add_ps(_mm512_mul_ps(a.at[v], m_a), _mm512_mul_ps(b.at[v], m_b));
    return _mm512_add_ps(t, out_zp);
  }
  __m512 m_a, m_b, out_zp;
};

struct Mul {
  explicit Mul(const ElementwiseParams& p) : m(_mm512_set1_ps(p.m)), out_zp(_mm512_set1_ps(p.out_zp)) {}
  __m512 operator()(const Differences& a, const Differences& b, int v) const {
    return _mm512_add_ps(_mm512_mul_ps(_mm512_mul_ps(a.at[v], b.at[v]), m), out_zp);
  }
  __m512 m, out_zp;
};

struct Affine {
  Affine(const Epilogue& e, int c) {
    for (int v = 0; v < 4; ++v) m[v] = _mm512_loadu_ps(e.m + c + 16 * v), b[v] = _mm512_loadu_ps(e.b + c + 16 * v);
  }
  __m512 operator()(const Differences& a, const Differences&, int v) const {
    return _mm512_add_ps(_mm512_mul_ps(a.at[v], m[v]), b[v]);
  }
  __m512 m[4], b[4];
};

// What becomes of t.
class Codes {
 public:
  Codes(float lo, float hi, const uint8_t* table, int count)
      : hi_(_mm512_set1_ps(hi)),
        lo_(_mm512_set1_epi8(static_cast<char>(static_cast<int>(lo)))),
        has_table_(table != nullptr),
        table_(table),
        mask_(first_lanes(count)) {}

  template <class Formula>
  void store(const Formula& formula, const Differences& a, const Differences& b, uint8_t* out) const {
    __m512i codes[4];
    for (int v = 0; v < 4; ++v) codes[v] = _mm512_cvtps_epi32(_mm512_min_ps(formula(a, b, v), hi_));
    __m512i bytes = _mm512_max_epu8(pack_bytes(codes[0], codes[1], codes[2], codes[3]), lo_);
    if (has_table_) bytes = table_.look_up(bytes);
    _mm512_mask_storeu_epi8(out, mask_, bytes);
  }

 private:
  __m512 hi_;
  __m512i lo_;
  bool has_table_;
  Table512 table_;
  __mmask64 mask_;
};

template <class Formula>
void rows(const ElementwiseParams& p, const Buffers& at, int begin, int end, int c, const Formula& formula, const Codes& codes) {
  __m512i zp = _mm512_set1_epi32(p.zp), second_zp = _mm512_set1_epi32(p.second_zp);
  bool two = p.op != Elementwise::affine;
  const Differences same(two ? at.second + c : at.in + c, second_zp);  // of one pixel, for all or unused
  for (int y = begin; y < end; ++y) {
    const uint8_t *a = at.in + y * p.in.row + c, *b = at.second + y * p.second.row + c;
    uint8_t* out = at.out + y * p.out.row + c;
    for (int x = 0; x < p.out.w; ++x, a += p.in.pixel, b += p.second.pixel, out += p.out.pixel) {
      Differences left(a, zp);
      codes.store(formula, left, two && !p.per_channel ? Differences(b, second_zp) : same, out);
    }
  }
}

void run(const ElementwiseParams& p, const Buffers& at, int begin, int end) {
  for (int c = 0; c < p.out.c; c += kChannels) {
    int count = p.out.lanes - c;
    if (p.op == Elementwise::affine) {
      Codes codes(p.epilogue.lo, p.epilogue.hi, p.epilogue.table, count);
      rows(p, at, begin, end, c, Affine(p.epilogue, c), codes);
      continue;
    }
    Codes codes(p.lo, p.hi, p.table, count);
    if (p.op == Elementwise::add)
      rows(p, at, begin, end, c, Add(p), codes);
    else
      rows(p, at, begin, end, c, Mul(p), codes);
  }
}

}  // namespace

const KernelRow<ElementwiseParams> elementwise_avx512vnni = {
    "elementwise, 64 channels", Isa::avx512vnni, accepts, units, nullptr, nullptr, nullptr, run};

}  // namespace bitwright
