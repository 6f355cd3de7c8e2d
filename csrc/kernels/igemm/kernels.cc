#include "kernels/igemm/igemm.h"
#include "kernels/rows.h"

namespace bitwright {
namespace {

// Narrow groups and few pixels would leave the tiles mostly empty.
bool fills_tiles(const IgemmParams& p) {
  bool full = p.groups == 1 || (p.in.c / p.groups >= 32 && p.out.c / p.groups >= 16);
  return full && p.out.h * p.out.w >= 8;
}

bool is_one_pixel(const IgemmParams& p) { return p.out.h * p.out.w == 1; }

// The sum of two products fits 16 bits, whatever the codes are; that of four.
bool cannot_saturate(const IgemmParams& p) { return 2 * p.most_weight * p.most_code <= INT16_MAX; }
bool fit_in_twos(const IgemmParams& p) { return 4 * p.most_weight * p.most_code <= INT16_MAX; }

// Windows of 3x3 next to each other, whose sums fit 32 bits when taken four times.
bool fits_winograd(const IgemmParams& p) {
  const Window& w = p.window;
  if (w.kh != 3 || w.kw != 3 || w.stride_h != 1 || w.stride_w != 1 || w.dilation_h != 1 || w.dilation_w != 1) return false;
  return p.groups == 1 && int64_t{4} * 9 * p.in.c * p.most_weight * p.most_code <= INT32_MAX;
}

int rounded(int n, int to) { return (n + to - 1) / to * to; }

// What a transform costs, in multiply-adds a channel of a tile at each of its 16 places, and how many bytes are multiplied
// while 16 bits are, is measured: docs/performance.md.
bool pays_by_winograd(const IgemmParams& p) {
  if (!fits_winograd(p)) return false;
  double tiles = ((p.out.h + 1) / 2) * ((p.out.w + 1) / 2), ins = rounded(p.in.c, 16), outs = rounded(p.out.c, 16);
  double direct = 9.0 * p.out.h * p.out.w * rounded(p.in.c, 4) * rounded(p.out.c, 8);
  double speed = fit_in_twos(p) ? 1.7 : cannot_saturate(p) ? 1.35 : 1;
  return tiles >= 4 && 16 * tiles * (ins * outs + 2 * ins + 8 * outs) < direct / speed;
}

// The same where what is multiplied are bytes: codes times 4, and weights in as many parts as they take.
bool pays_by_winograd_in_bytes(const IgemmParams& p) {
  if (!fits_winograd(p) || 4 * p.most_code > 255) return false;
  double tiles = ((p.out.h + 1) / 2) * ((p.out.w + 1) / 2), ins = rounded(p.in.c, 4), outs = rounded(p.out.c, kWidePanel);
  double products = 16 * ins * outs;
  for (int quads : p.more_quads) products += 6 * quads * outs;  // more than it is, as loops are short
  double direct = 9.0 * p.out.h * p.out.w * rounded(p.in.c, 4) * rounded(p.out.c, 8);
  return tiles >= 4 && tiles * (products + 16 * (7 * ins + 18 * outs)) < 0.9 * direct;
}

#ifdef BITWRIGHT_ARM
// Runs of four codes, or of four and a rest, gain nothing by eight.
bool has_octets(const IgemmParams& p) { return p.in.c / p.groups >= 8; }
#endif

}  // namespace
}  // namespace bitwright

#define FAMILY igemm
#define PARAMS IgemmParams
#include "kernels/family.inc"
