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

}  // namespace

KernelTable<IgemmParams> igemm_kernels() {
  static constexpr KernelRow<IgemmParams> rows[] = {
#define ROW(symbol, name, needs, accepts) {name, needs, accepts, &symbol},
#include "kernels/igemm/rows.inc"
#undef ROW
  };
  return rows;
}

const Family igemm_family("igemm", igemm_kernels());

}  // namespace bitwright
