// What is computed of each number of a map; see kernels/vec/blocks.h for the loops.
#pragma once

#include "kernels/elementwise/elementwise.h"
#include "kernels/vec/blocks.h"

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
