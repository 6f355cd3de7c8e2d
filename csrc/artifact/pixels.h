// The preprocessing of an artifact as far as the engine needs it: which pixels it reads, and how they become bits.
#pragma once

#include <optional>
#include <string>

#include "artifact/json.h"
#include "model/graph.h"

namespace bitwright {

struct Pixels {
  int height, width, channels;
  std::string mode;  // "RGB", "BGR" or "L"
  std::optional<Encoder> encoder;
};

// Throws std::invalid_argument unless all of it is as src/bitwright/images/preprocess.py writes it.
Pixels read_preprocess(const Json& record);

// "threshold:128", "thermometer:8", ...: the spellings of src/bitwright/images/encoders. std::invalid_argument for others.
Encoder encoder_named(const std::string& spelling);

}  // namespace bitwright
