// A node of an artifact's file: a row (csrc/ops/stored.cc) says which fields the file has for its op, and its reader makes a
// node of the engine.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "artifact/artifact.h"
#include "artifact/types.h"

namespace bitwright {

// What the file says of a value. Without a type it is float32.
struct StoredValue {
  std::vector<int> shape;
  int channel;
  std::optional<QType> type;
};

struct StoredNode {
  Node node;  // its inputs and its output are not numbered yet
  std::vector<std::string> inputs;
};

// The fields of an op's nodes. Attributes are "key" for one integer, "key*" for a list of them, "key**" for a list of pairs.
struct Fields {
  std::string_view op;
  std::vector<std::string_view> attrs, tensors;  // all of the former, some of the latter
  bool takes_image = false;  // may read codes with a zero point for each channel
  bool same_type = false;    // reads and writes codes of one type
  bool takes_float = false;  // and reads float32, which it hands on
};

// Throws std::invalid_argument where there is no such op.
const Fields& fields_of(const std::string& op);

// Reads a node, whose tensors it takes out of `tensors` and puts into `memory`.
StoredNode read_node(const Json& record, std::map<std::string, Tensor>& tensors, std::deque<AlignedBytes>& memory);

// The node that the engine runs in place of one that is sound so far: of `prelu` its table.
void simplify(StoredNode& stored, const StoredValue& in, const StoredValue& out, std::deque<AlignedBytes>& memory);

}  // namespace bitwright
