// The blocks of a move, one after the other.
#pragma once

#include "kernels/move/move.h"

namespace bitwright {
namespace {

struct Block {
  const uint8_t* in;
  uint8_t* out;
  Dim rows, columns;
};

inline int64_t pieces(const MoveParams& p, int d) { return (p.dims[d].extent + p.piece[d] - 1) / p.piece[d]; }

inline int block_count(const MoveParams& p) {
  int64_t count = 1;
  for (int d = 0; d < p.rank; ++d) count *= pieces(p, d);
  return static_cast<int>(count);
}

inline Dim cut(const MoveParams& p, int d, int64_t at) {
  int64_t left = p.dims[d].extent - at * p.piece[d];
  return {left < p.piece[d] ? left : p.piece[d], p.dims[d].in, p.dims[d].out};
}

template <class Visit>
void each_block(const MoveParams& p, const Buffers& at, int begin, int end, Visit visit) {
  int64_t index[kMostDims], count[kMostDims];
  int64_t rest = begin;
  ptrdiff_t in = p.in, out = p.out;
  auto move = [&](int d, int64_t by) { in += by * p.piece[d] * p.dims[d].in, out += by * p.piece[d] * p.dims[d].out; };
  for (int d = p.rank; d-- > 0; rest /= count[d]) {
    count[d] = pieces(p, d);
    index[d] = rest % count[d];
    move(d, index[d]);
  }
  for (int i = begin; i < end; ++i) {
    visit(Block{at.in + in, at.out + out, cut(p, p.rank - 2, index[p.rank - 2]), cut(p, p.rank - 1, index[p.rank - 1])});
    for (int d = p.rank; d-- > 0;) {
      if (++index[d] < count[d]) {
        move(d, 1);
        break;
      }
      move(d, 1 - count[d]);
      index[d] = 0;
    }
  }
}

}  // namespace
}  // namespace bitwright
