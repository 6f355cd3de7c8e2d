// One output pixel: there is nothing to share the weights with, so as many panels as there are registers for are
// multiplied side by side, which keeps sums that do not wait for each other and several streams of weights.
#pragma once

#include "kernels/igemm/tiles256.h"

namespace bitwright {
namespace {

constexpr int kGemvPanels = 4;

int gemv_units(const IgemmParams& p) { return igemm_grid(p, 1, kGemvPanels).count(); }

template <class Quad, int kPanels>
void gemv(const IgemmParams& p, const PackedIgemm& packed, const Epilogue256& epilogue, const Operands& t) {
  __m256i acc[kPanels][2];
  for (int i = 0; i < 2 * kPanels; ++i)
    acc[i / 2][i % 2] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p.start + t.channel + 8 * i));
  const int8_t* w = t.weights;
  const Run* runs = packed.run_table();
  for (int i = 0; i < packed.runs; ++i) {
    const uint8_t* x = t.x[0] + runs[i].offset;
    for (ptrdiff_t quad = 0; quad < runs[i].quads; ++quad, w += 4 * kPanel) {
      int four;
      __builtin_memcpy(&four, x + 4 * quad, 4);
      typename Quad::Codes codes(_mm256_set1_epi32(four));
      for (int v = 0; v < kPanels; ++v)
        for (int half = 0; half < 2; ++half) {
          const int8_t* at = w + v * packed.panel_bytes + 32 * half;
          typename Quad::Weights weights(_mm256_load_si256(reinterpret_cast<const __m256i*>(at)));
          acc[v][half] = Quad::multiply_add(acc[v][half], codes, weights);
        }
    }
  }
  for (int v = 0; v < kPanels; ++v)
    epilogue.store<1>({{acc[v][0], acc[v][1]}}, t.channel + v * kPanel, t.second, t.out, t.count - v * kPanel);
}

template <class Quad>
void run_gemv(const IgemmParams& p, const Buffers& at, int begin, int end) {
  constexpr void (*kGemvs[])(const IgemmParams&, const PackedIgemm&, const Epilogue256&, const Operands&) = {
      gemv<Quad, 1>, gemv<Quad, 2>, gemv<Quad, 3>, gemv<Quad, 4>};
  const auto& packed = *static_cast<const PackedIgemm*>(p.weights);
  Epilogue256 epilogue(p.epilogue);
  IgemmGrid grid = igemm_grid(p, 1, kGemvPanels);
  for (int i = begin; i < end; ++i) {
    IgemmPiece piece = igemm_piece(grid, packed.panels, i);
    const uint8_t* x = at.in + piece.group * packed.depth - p.window.pad_top * p.in.row - p.window.pad_left * p.in.pixel;
    Operands t;
    t.x = &x, t.out = &at.out, t.second = &at.second;
    t.channel = piece.group * packed.outs + piece.first_panel * kPanel;
    t.count = lanes_to_store(p, packed, piece, t.channel);
    t.weights = packed.panel(piece.group, piece.first_panel);
    kGemvs[piece.last_panel - piece.first_panel - 1](p, packed, epilogue, t);
  }
}

}  // namespace
}  // namespace bitwright
