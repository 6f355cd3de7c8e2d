// The bytes of a fuzzer's input as choices, so that any input says something and small changes of it change little.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitwright::fuzz {

class Choices {
 public:
  Choices(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  // One of 0..count - 1; 0 once the input has ended.
  int below(int count) {
    uint32_t value = byte();
    if (count > 256) value = value << 8 | byte();
    return static_cast<int>(value % static_cast<uint32_t>(count));
  }
  int within(int low, int high) { return low + below(high - low + 1); }
  bool one_in(int count) { return below(count) == count - 1; }
  template <class T>
  const T& of(const std::vector<T>& all) {
    return all[below(static_cast<int>(all.size()))];
  }
  bool ended() const { return left_ == 0; }

 private:
  uint8_t byte() { return left_ ? (--left_, *data_++) : 0; }

  const uint8_t* data_;
  size_t left_;
};

// What fills tensors and images: numbers that look random, from a seed.
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  uint32_t next() {  // splitmix64, Steele et al. 2014
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9, z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return static_cast<uint32_t>(z >> 32);
  }
  uint8_t byte() { return static_cast<uint8_t>(next() >> 24); }
  float uniform(float low, float high) { return low + (high - low) * static_cast<float>(next() >> 8) * 0x1p-24f; }

 private:
  uint64_t state_;
};

}  // namespace bitwright::fuzz
