// TDPBUSD: 16 x 16 x 64 multiply-adds.
#include "kernels/igemm/tile_config.h"
#include "kernels/peak/loops.h"

namespace bitwright {

int64_t peak_amx(int rounds) {
  configure_tiles(16, 64);
  for (int i = 0; i < rounds; ++i) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
  return int64_t{4} * 16 * 16 * 64 * rounds;
}

}  // namespace bitwright
