// The shapes of the eight tile registers, as LDTILECFG wants them.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace bitwright {
namespace {

struct __attribute__((packed)) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t column_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0..3 accumulate, 4 and 5 are `depth_bytes` of `rows` pixels, 6 and 7 are weights: a row for each four bytes.
inline void configure_tiles(int rows, int depth_bytes) {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.column_bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? depth_bytes : 64);
    config.rows[i] = static_cast<uint8_t>(i < 6 ? rows : depth_bytes / 4);
  }
  __asm__ volatile("" : : "r"(&config) : "memory");  // gcc believes that only 8 bytes are read
  _tile_loadconfig(&config);
}

}  // namespace
}  // namespace bitwright
