// Depthwise convolution: output channel c sees input channel c alone. The input has a halo, so every tap of
// every window exists: the window of output (y, x) starts at pixel (y*stride_h - pad_top, x*stride_w - pad_left).
#pragma once

#include "kernels/kernel.h"

namespace bitwright {

constexpr int kMostDepthwiseTaps = 128;  // the most taps whose addresses kernels of 16 channels keep

struct DepthwiseParams {
  Map in, out, second;   // second: the residual, same h, w, c as out
  Window window;
  const int32_t* start;  // per channel, -zero_point * sum of its weights: acc = start + sum x * w (padded to 64)
  const void* weights;   // what `pack` wrote
  Epilogue epilogue;
  bool pooled;           // a block of channels is wanted whole, for a pool
  bool vbmi = false;     // kernels of AVX-512 may look up by VBMI; set by the rows that need it
};

namespace {

// The work is cut into rows, or some of them together, each with all blocks of channels; or into blocks, one after the other.
struct DepthwiseGrid {
  static constexpr int kBlockChannels = 64;

  int blocks, rows;
  bool blocks_outer;

  DepthwiseGrid(const DepthwiseParams& p, int rows, bool blocks_outer = false)
      : blocks((p.out.c + kBlockChannels - 1) / kBlockChannels), rows(rows), blocks_outer(blocks_outer || p.pooled) {}
  int units() const { return blocks_outer ? blocks * rows : rows; }

  // Calls visit(first channel, first row, last row) for units [begin, end).
  template <class Visit>
  void each(int begin, int end, const Visit& visit) const {
    int first = blocks_outer ? begin / rows : 0, last = blocks_outer ? (end + rows - 1) / rows : blocks;
    for (int block = first; block < last; ++block) {
      int before = blocks_outer ? block * rows : 0;
      visit(kBlockChannels * block, begin > before ? begin - before : 0, end - before < rows ? end - before : rows);
    }
  }
};

}  // namespace

// Weights to pack: [C][kh][kw]. Units are those of a DepthwiseGrid.
KernelTable<DepthwiseParams> depthwise_kernels();

#define ROW(symbol, ...) extern const Kernel<DepthwiseParams> symbol;
#include "kernels/depthwise/rows.inc"
#undef ROW

}  // namespace bitwright
