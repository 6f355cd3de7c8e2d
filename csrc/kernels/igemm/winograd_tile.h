// What a tile of Winograd's F(2x2, 3x3) reads and writes, whatever it is multiplied by.
#pragma once

#include "kernels/igemm/igemm.h"

namespace bitwright {
namespace {

constexpr int kPlaces = 16;  // of 4x4

// Where the codes and outputs of a tile are. Those beyond the map stand on the last: no output that is stored reads them.
struct WinogradTile {
  const uint8_t* rows[4];
  ptrdiff_t columns[4];
  int y, x, high, wide;  // the first output, and how many there are

  WinogradTile(const IgemmParams& p, const uint8_t* in, int across, int index) {
    y = index / across * 2, x = index % across * 2;
    high = y + 1 < p.out.h ? 2 : 1, wide = x + 1 < p.out.w ? 2 : 1;
    for (int i = 0; i < 4; ++i) {
      rows[i] = in + (y - p.window.pad_top + (i < high + 2 ? i : high + 1)) * p.in.row;
      columns[i] = (x - p.window.pad_left + (i < wide + 2 ? i : wide + 1)) * p.in.pixel;
    }
  }
};

}  // namespace
}  // namespace bitwright
