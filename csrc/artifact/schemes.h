// The schemes that an artifact may hold, by name: what their codes are, and how weights of them are packed. See
// docs/arithmetic.md and src/bitwright/schemes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace bitwright {

struct Scheme {
  std::string_view name;
  int width;        // bits of a packed code; of ternary, which has five in a byte, 0
  int lo, hi, step;  // numbers of weights lo..hi; codes of activations 0..hi
  bool weights, activations;

  // The first and the last zero point that activations may have.
  int first_zero_point() const { return step == 2 ? 1 : 0; }
  int last_zero_point() const { return hi; }

  // `count` weights. Throws std::invalid_argument where packing cannot have written these bytes.
  std::vector<int8_t> unpacked(std::span<const uint8_t> packed, int64_t count) const;
};

// Null where there is none of this name.
const Scheme* scheme_named(std::string_view name);

}  // namespace bitwright
