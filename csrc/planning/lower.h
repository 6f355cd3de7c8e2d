// Turns the graph into steps: what is fused, what is a view, what is copied, and which kernel runs.
#pragma once

#include <memory>
#include <vector>

#include "base/threads.h"
#include "ops/step.h"

namespace bitwright {

struct Lowered {
  Steps steps;
  Layout layout;
};

// Appends packed copies of values to the graph. With `keep_values` nothing is fused and no memory is reused, so that every
// value can be read after a run.
Lowered lower(Graph& graph, Features features, bool keep_values, ThreadPool& pool);

}  // namespace bitwright
