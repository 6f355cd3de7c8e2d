// The SHA-256 of an artifact's contents, the last entry of its provenance; see src/bitwright/artifact_file/seal.py.
#pragma once

#include <span>

#include "artifact/json.h"

namespace bitwright {

// Throws std::invalid_argument where the file, whose header is a part of it, has another digest than its provenance says. Files
// of versions that wrote none pass.
void check_seal(const Json& provenance, std::span<const uint8_t> file, std::span<const uint8_t> header);

}  // namespace bitwright
