// Values that are parts of others, as ops say, and what memory has to be like for them to need no copy.
#pragma once

#include "ops/op.h"

namespace bitwright {

inline std::vector<Part> parts_of(const Graph& graph, const Layer& layer) {
  return layer.op->traits.parts ? layer.op->traits.parts(graph, layer) : std::vector<Part>{};
}

inline bool is_whole(const Part& part) { return part.axis < 0; }

// Along the channels: those of the part lie side by side in each pixel of the whole.
inline bool joins_channels(const Graph& graph, const Part& part) {
  int channel = graph.values[part.part].channel;
  return part.axis == channel && channel == graph.values[part.whole].channel;
}

// Along the outermost axis of pixels: those of the part follow each other.
inline bool joins_pixels(const Graph& graph, const Part& part) {
  const Value& whole = graph.values[part.whole];
  bool outermost = part.axis >= 0 && part.axis != whole.channel && graph.values[part.part].channel == whole.channel;
  for (int d = 0; d < part.axis; ++d) outermost = outermost && (d == whole.channel || whole.shape[d] == 1);
  return outermost;
}

}  // namespace bitwright
