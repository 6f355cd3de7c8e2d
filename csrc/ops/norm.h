// What group_norm and layer_norm share besides their definition.
#pragma once

#include <algorithm>
#include <cmath>

#include "ops/check.h"

namespace bitwright {

inline void check_norm(const NodeCheck& of, int channels) {
  of.tensor("m", Type::float32, {channels}), of.tensor("b", Type::float32, {channels});
  of.expect(of.tensor("e", Type::float32, {1}).as<float>()[0] > 0, "e is not positive");
}

// Whether no t reaches 2^31: before m it is below the square root of how many numbers the norm is over, 2^11.5 at most, and
// that much more by roundings.
inline bool is_narrow_norm(const std::vector<float>& m, const std::vector<float>& b) {
  auto within = [](const std::vector<float>& values, float most) {
    return std::all_of(values.begin(), values.end(), [=](float v) { return std::abs(v) < most; });
  };
  return within(m, 0x1p16f) && within(b, 0x1p28f);
}

}  // namespace bitwright
