// A safetensors file: a header of JSON, then the bytes of its tensors. Checked as its own reader does: the tensors cover the
// file without gaps. Of dtypes there are those of artifacts alone, F32 and U8.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "artifact/json.h"
#include "model/graph.h"

namespace bitwright {

struct Safetensors {
  std::span<const uint8_t> header;  // its bytes
  std::string metadata;             // what stands under "bitwright"
  std::map<std::string, Tensor> tensors;  // `bytes` lie in the file, at any address
};

// Throws std::invalid_argument where it is none, a damaged one, or no artifact. `file` must outlive what is returned.
Safetensors read_safetensors(std::span<const uint8_t> file);

// Parts of a document that are read as one, as Python has them (MAX_PART), have fewer bytes.
constexpr size_t kMostPart = 1 << 18;
void expect_part(const Json& part);

// A JSON list of `least` or more and at most 8 numbers from `lowest` on, of 2^28 elements at most.
std::vector<int64_t> shape_of(const std::optional<Json>& list, const std::string& where, size_t least, int64_t lowest);

}  // namespace bitwright
