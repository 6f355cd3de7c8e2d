// How codes stand for real numbers in an artifact: real = scale * (step * code - zero_point) + offset.
#pragma once

#include <string>
#include <vector>

#include "artifact/json.h"
#include "artifact/schemes.h"

namespace bitwright {

struct QType {
  const Scheme* scheme;
  std::vector<double> scales;    // one, or one for each channel
  std::vector<int> zero_points;  // likewise
  std::vector<double> offsets;   // none, or one for each channel
  bool per_channel;

  bool operator==(const QType&) const = default;
};

// Throws std::invalid_argument, which begins with `where`, unless it is a type that a value of so many channels may have.
QType read_type(const Json& record, const std::string& where, int64_t channels);

}  // namespace bitwright
