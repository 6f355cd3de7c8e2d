// The file of an artifact, read without Python: the same checks as src/bitwright/artifact_file and graph_check.py make, so that
// what one of them refuses the other does not run.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <vector>

#include "artifact/pixels.h"
#include "base/memory.h"
#include "model/graph.h"

namespace bitwright {

struct Artifact {
  Graph graph;  // as the engine takes it: simplified, with the encoder of the pixels
  Pixels pixels;
  int outputs;  // logits of an image: of the graph's first output
  std::vector<std::string> classes;  // a name for each class; numbers where the file has none
  std::deque<AlignedBytes> memory;  // what the graph's tensors point to
};

// Throws std::invalid_argument, which says what is wrong, for a file that is damaged, foreign, newer or inconsistent.
Artifact read_artifact(std::span<const uint8_t> file);

}  // namespace bitwright
