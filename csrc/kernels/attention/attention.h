// attention: each token of the output is a mean of values, weighted by a table of how far below the best its key's score is.
// See docs/arithmetic.md. Scores and weights of a few queries at a time stay in the nearest cache.
#pragma once

#include "kernels/kernel.h"

namespace bitwright {

struct AttentionParams {
  Map in, second, third, out;  // queries, keys, values
  int heads;                   // neighbouring channels belong to one
  int zp, third_zp;            // of queries and values; that of keys cancels
  const uint8_t* exp;          // [256]
  const int32_t* bias;         // [biases][queries][keys] that is added to scores; null where there is none
  int biases;                  // heads have them in turn
  float m_s, m;                // of differences of scores, and of weighted means
  float out_zp;
  Epilogue epilogue;  // only how codes are stored
};

// Units are blocks of queries of one head, head after head.
KernelTable<AttentionParams> attention_kernels();

#define ROW(symbol, ...) extern const Kernel<AttentionParams> symbol;
#include "kernels/attention/rows.inc"
#undef ROW

}  // namespace bitwright
