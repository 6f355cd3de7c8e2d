// Blocks of channels: all that belongs to a block stays in registers while its pixels pass. Where a block has half or a quarter
// of the codes of a vector, two or four pixels are stored together.
#pragma once

#include "kernels/elementwise/elementwise.h"
#include "kernels/unrolled.h"
#include "kernels/vec/vec.h"

namespace bitwright {
namespace {

Vec::Floats all_lanes(int number) { return Vec::splat_float(static_cast<float>(number)); }

// Each gives t, with the output's zero point, of kLanes channels: those of vector v of the block that begins at channel c.
// Differences of codes and the products of two are whole numbers below 2^24, so float32 holds them exactly.
template <int kVectors>
struct Add {
  Add(const ElementwiseParams& p, const Buffers&, int)
      : zp(all_lanes(p.zp)),
        second_zp(all_lanes(p.second_zp)),
        m(Vec::splat_float(p.m)),
        m_second(Vec::splat_float(p.m_second)),
        out_zp(Vec::splat_float(p.out_zp)) {}
  Vec::Floats operator()(int, const uint8_t* in, const uint8_t* second) const {
    return (Vec::widened(in) - zp) * m + (Vec::widened(second) - second_zp) * m_second + out_zp;
  }
  Vec::Floats zp, second_zp, m, m_second, out_zp;
};

template <int kVectors>
struct Mul {
  Mul(const ElementwiseParams& p, const Buffers&, int)
      : zp(all_lanes(p.zp)), second_zp(all_lanes(p.second_zp)), m(Vec::splat_float(p.m)), out_zp(Vec::splat_float(p.out_zp)) {}
  Vec::Floats operator()(int, const uint8_t* in, const uint8_t* second) const {
    return (Vec::widened(in) - zp) * (Vec::widened(second) - second_zp) * m + out_zp;
  }
  Vec::Floats zp, second_zp, m, out_zp;
};

// mul with one factor a channel: (x - zp) * factor = x * factor + shift, exact even fused.
template <int kVectors>
struct Scale {
  Scale(const ElementwiseParams& p, const Buffers& at, int c) : m(Vec::splat_float(p.m)), out_zp(Vec::splat_float(p.out_zp)) {
    for (int v = 0; v < kVectors; ++v) {
      factor[v] = Vec::widened(at.second + c + Vec::kLanes * v) - all_lanes(p.second_zp);
      shift[v] = factor[v] * all_lanes(-p.zp);
    }
  }
  Vec::Floats operator()(int v, const uint8_t* in, const uint8_t*) const {
    return Vec::multiply_add(Vec::widened(in), factor[v], shift[v]) * m + out_zp;
  }
  Vec::Floats factor[kVectors], shift[kVectors], m, out_zp;
};

template <int kVectors>
struct Affine {
  Affine(const ElementwiseParams& p, const Buffers&, int c) : zp(all_lanes(p.zp)) {
    for (int v = 0; v < kVectors; ++v) {
      m[v] = Vec::load_floats(p.epilogue.m + c + Vec::kLanes * v);
      b[v] = Vec::load_floats(p.epilogue.b + c + Vec::kLanes * v);
    }
  }
  Vec::Floats operator()(int v, const uint8_t* in, const uint8_t*) const { return (Vec::widened(in) - zp) * m[v] + b[v]; }
  Vec::Floats zp, m[kVectors], b[kVectors];
};

struct Rows {
  int begin, end;
};

// Channels c.. of all pixels of some rows.
template <template <int> class Op, int kVectors, int kPixels>
void block(const ElementwiseParams& p, const Buffers& at, int c, Rows rows) {
  const Op<kVectors> op(p, at, c);
  const Vec::Table table(p.epilogue.table, static_cast<int>(p.epilogue.hi));
  const bool look_up = p.epilogue.table != nullptr, narrow = p.epilogue.narrow;
  const Vec::Floats bound = Vec::splat_float(p.epilogue.hi);
  const Vec::Bytes lo = Vec::splat(p.epilogue.lo), hi = Vec::splat(p.epilogue.hi);
  constexpr int kChannels = Vec::kLanes * kVectors;
  const int count = p.out.lanes - c < kChannels ? p.out.lanes - c : kChannels;
  for (int y = rows.begin; y < rows.end; ++y) {
    const uint8_t *in = at.in + y * p.in.row + c, *second = at.second + y * p.second.row + c;
    uint8_t* out = at.out + y * p.out.row + c;
    for (int x = 0; x < p.out.w; x += kPixels) {
      Vec::Ints codes[4] = {};
      uint8_t* to[kPixels];
      unrolled<kPixels>([&](auto i) BITWRIGHT_INLINE {
        int place = kPixels == 1 || x + i < p.out.w ? x + i : p.out.w - 1;  // the last is stored again
        const uint8_t *a = in + place * p.in.pixel, *b = second + place * p.second.pixel;
        unrolled<kVectors>([&](auto v) BITWRIGHT_INLINE {
          Vec::Floats t = op(v, a + Vec::kLanes * v, b + Vec::kLanes * v);
          codes[i * kVectors + v] = Vec::rounded(narrow ? t : Vec::min_floats(t, bound));
        });
        to[i] = out + place * p.out.pixel;
      });
      Vec::Bytes bytes = Vec::min(Vec::max(Vec::bytes_of(codes), lo), hi);
      if (look_up) bytes = table.look_up(bytes);
      Vec::store_parts<kPixels>(bytes, to, count);
    }
  }
}

using BlockRun = void (*)(const ElementwiseParams&, const Buffers&, int, Rows);

// By vectors of a block, less 1. Lanes of vectors beyond the last channel hold anything.
#ifdef __AVX512F__
constexpr int kMostVectors = 4;
template <template <int> class Op>
constexpr BlockRun kBlockRuns[] = {block<Op, 1, 4>, block<Op, 2, 2>, block<Op, 3, 1>, block<Op, 4, 1>};
#else
constexpr int kMostVectors = 4;
template <template <int> class Op>
constexpr BlockRun kBlockRuns[] = {block<Op, 2, 2>, block<Op, 2, 2>, block<Op, 4, 1>, block<Op, 4, 1>};
#endif

template <template <int> class Op>
void blocks(const ElementwiseParams& p, const Buffers& at, Rows rows) {
  for (int c = 0; c < p.out.c; c += Vec::kLanes * kMostVectors) {
    int vectors = (p.out.c - c + Vec::kLanes - 1) / Vec::kLanes;
    kBlockRuns<Op>[(vectors < kMostVectors ? vectors : kMostVectors) - 1](p, at, c, rows);
  }
}

int elementwise_units(const ElementwiseParams& p) { return p.out.h; }

void run_elementwise(const ElementwiseParams& p, const Buffers& at, int begin, int end) {
  Rows rows = {begin, end};
  switch (p.op) {
    case Elementwise::add: return blocks<Add>(p, at, rows);
    case Elementwise::mul: return p.per_channel ? blocks<Scale>(p, at, rows) : blocks<Mul>(p, at, rows);
    case Elementwise::affine: return blocks<Affine>(p, at, rows);
  }
}

}  // namespace
}  // namespace bitwright
