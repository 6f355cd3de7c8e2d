// The same algorithm for all targets; sums are of integers, so their order does not matter. With x the codes as they are stored
// (zero points cancel), over the n numbers of a group of an image:
//
//   R1 = sum x,  R2 = sum x^2        per channel, then per group        first pass over the block's pixels
//   r  = reciprocal_deviation(n, R1, R2, e)
//   t  = f32(n * x - R1) * r;  t = t * m[c];  t = t + b[c]              second pass
#include "kernels/norm/norm.h"

#include "kernels/every_target.h"

namespace bitwright {
namespace {

constexpr int kLeastBlock = 32;  // channels, so that a pixel's are half a cache line and more

// Channels of a unit: whole groups.
constexpr int block_of(const NormParams& p) { return (kLeastBlock + p.group - 1) / p.group * p.group; }

// What the second pass needs of each channel of the block; it lies in a thread's scratch memory.
struct Channels {
  Channels(const NormParams& p, uint8_t* scratch, int first)
      : room((block_of(p) + 127) / 64 * 64),
        squares(reinterpret_cast<int64_t*>(scratch)),
        sums(reinterpret_cast<int32_t*>(scratch + 8 * room)),
        r(reinterpret_cast<float*>(scratch + 12 * room)),
        first(first),
        last(first + block_of(p) < p.in.c ? first + block_of(p) : p.in.c) {}

  // Adds the sums of channels up to those of their group, and computes r.
  void finish(const NormParams& p) {
    const int64_t n = int64_t{p.in.h} * p.in.w * p.group;
    for (int c = 0; c < last - first; c += p.group) {
      int64_t r1 = 0, r2 = 0;
      for (int i = c; i < c + p.group; ++i) r1 += sums[i], r2 += squares[i];
      const float deviation = reciprocal_deviation(n, r1, r2, p.e);
      for (int i = c; i < c + p.group; ++i) sums[i] = static_cast<int32_t>(r1), r[i] = deviation;
    }
  }

  int room;
  int64_t* squares;
  int32_t* sums;
  float* r;
  int first, last;
};

int units(const NormParams& p) { return (p.in.c + block_of(p) - 1) / block_of(p); }
size_t scratch_bytes(const NormParams& p) { return 16 * static_cast<size_t>((block_of(p) + 127) / 64 * 64); }

#ifdef BITWRIGHT_VECTORS

constexpr int kMostSquares = 1 << 15;  // of 255^2 that a lane of int32 holds

// Channels c.. of the block, kVectors vectors of them. Lanes beyond the last channel hold anything.
template <int kVectors>
void add_up(const NormParams& p, const uint8_t* in, Channels& of, int c) {
  Vec::Ints sum[kVectors], square[kVectors];
  alignas(64) int32_t lanes[Vec::kLanes];
  for (int i = 0; i < kVectors * Vec::kLanes; ++i) of.squares[c + i] = 0;
  unrolled<kVectors>([&](auto v) BITWRIGHT_INLINE { sum[v] = square[v] = Vec::zero(); });
  auto flush = [&] {
    for (int v = 0; v < kVectors; ++v) {
      Vec::store_ints(lanes, square[v]);
      for (int i = 0; i < Vec::kLanes; ++i) of.squares[c + v * Vec::kLanes + i] += static_cast<uint32_t>(lanes[i]);
      square[v] = Vec::zero();
    }
  };
  int left = kMostSquares;
  for (int y = 0; y < p.in.h; ++y)
    for (int x = 0; x < p.in.w; ++x) {
      const uint8_t* codes = in + y * p.in.row + x * p.in.pixel + of.first + c;
      unrolled<kVectors>([&](auto v) BITWRIGHT_INLINE {
        Vec::Ints code = Vec::widened_ints(codes + v * Vec::kLanes);
        sum[v] = Vec::add(sum[v], code);
        square[v] = Vec::add(square[v], Vec::multiply_words(code, code));
      });
      if (--left == 0) flush(), left = kMostSquares;
    }
  flush();
  for (int v = 0; v < kVectors; ++v) Vec::store_ints(of.sums + c + v * Vec::kLanes, sum[v]);
}

struct BlockParams : NormParams {
  const Channels* of;
};

// t of the channels of vector v of the block that begins at channel c; see blocks.h.
template <int kVectors>
struct Norm {
  Norm(const BlockParams& p, const Buffers&, int c) : n(Vec::splat_int(p.in.h * p.in.w * p.group)) {
    for (int v = 0; v < kVectors; ++v) {
      int at = c + Vec::kLanes * v;
      sum[v] = Vec::load_ints(p.of->sums + at - p.of->first);
      r[v] = Vec::load_floats(p.of->r + at - p.of->first);
      m[v] = Vec::load_floats(p.epilogue.m + at);
      b[v] = Vec::load_floats(p.epilogue.b + at);
    }
  }
  Vec::Floats operator()(int v, const uint8_t* in, const uint8_t*) const {
    Vec::Ints centred = Vec::subtract(Vec::multiply(Vec::widened_ints(in), n), sum[v]);
    return Vec::floats(centred) * r[v] * m[v] + b[v];
  }
  Vec::Ints n, sum[kVectors];
  Vec::Floats r[kVectors], m[kVectors], b[kVectors];
};

void run(const NormParams& p, const Buffers& at, int begin, int end) {
  using AddUp = void (*)(const NormParams&, const uint8_t*, Channels&, int);
  constexpr AddUp kAddUps[] = {add_up<1>, add_up<2>, add_up<3>, add_up<4>};
  for (int unit = begin; unit < end; ++unit) {
    Channels of(p, at.scratch, unit * block_of(p));
    for (int c = 0; c < of.last - of.first; c += 4 * Vec::kLanes) {
      int vectors = (of.last - of.first - c + Vec::kLanes - 1) / Vec::kLanes;
      kAddUps[(vectors < 4 ? vectors : 4) - 1](p, at.in, of, c);
    }
    of.finish(p);
    BlockParams block = {p, &of};
    if (of.last < p.out.c) block.out.c = block.out.lanes = of.last;  // what lies behind is another unit's
    blocks<Norm>(block, at, {0, p.out.h}, of.first);
  }
}

#else

void run(const NormParams& p, const Buffers& at, int begin, int end) {
  const int32_t n = p.in.h * p.in.w * p.group;
  for (int unit = begin; unit < end; ++unit) {
    Channels of(p, at.scratch, unit * block_of(p));
    for (int c = of.first; c < of.last; ++c) of.sums[c - of.first] = 0, of.squares[c - of.first] = 0;
    auto for_pixels = [&](const auto& f) {
      for (int y = 0; y < p.in.h; ++y)
        for (int x = 0; x < p.in.w; ++x)
          for (int c = of.first; c < of.last; ++c)
            f(c, c - of.first, at.in[y * p.in.row + x * p.in.pixel + c], at.out + y * p.out.row + x * p.out.pixel);
    };
    for_pixels([&](int, int i, int code, uint8_t*) { of.sums[i] += code, of.squares[i] += code * code; });
    of.finish(p);
    for_pixels([&](int c, int i, int code, uint8_t* out) {
      float t = static_cast<float>(n * code - of.sums[i]) * of.r[i];
      t = t * p.epilogue.m[c];
      t = t + p.epilogue.b[c];
      finish_float(p.epilogue, c, t, nullptr, out);
    });
  }
}

#endif

}  // namespace

const Kernel<NormParams> BITWRIGHT_KERNEL(norm) = {units, nullptr, nullptr, scratch_bytes, run};

}  // namespace bitwright

#ifndef BITWRIGHT_VECTORS
#define FAMILY norm
#define PARAMS NormParams
#include "kernels/family.inc"
#endif
