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

// The sum of two products fits 16 bits, whatever the codes are.
bool cannot_saturate(const IgemmParams& p) { return 2 * p.most_weight * p.most_code <= INT16_MAX; }

#ifdef BITWRIGHT_ARM
// Runs of four codes, or of four and a rest, gain nothing by eight.
bool has_octets(const IgemmParams& p) { return p.in.c / p.groups >= 8; }
#endif

}  // namespace
}  // namespace bitwright

#define FAMILY igemm
#define PARAMS IgemmParams
#include "kernels/family.inc"
