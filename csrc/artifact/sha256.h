// SHA-256, FIPS 180-4: what tells a damaged file from a sound one.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace bitwright {

class Sha256 {
 public:
  void add(std::span<const uint8_t> bytes);
  std::string hex();  // of all that was added; nothing may be added afterwards

 private:
  void block(const uint8_t* bytes);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> waiting_{};
  uint64_t bytes_ = 0;
};

}  // namespace bitwright
