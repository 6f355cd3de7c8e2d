// Squeeze-and-excite without passes of its own over maps: a depthwise convolution pools each block of channels once it has
// written it; a 1x1 convolution multiplies the pixels that it reads next.
#pragma once

#include "ops/step.h"

namespace bitwright {

// Are there as many strips, in which a map is scaled and then read, as threads?
bool scales_in_strips(const Value& x, int threads);
// The step of a layer with `scale`.
std::unique_ptr<Step> make_scaled(const Binding&);

// Does a block of channels of a map stay in L1, and do blocks spread evenly over threads?
bool pools_in_blocks(const Value& map, int threads);
// The step of a layer with `pool`.
std::unique_ptr<Step> make_pooled(const Binding&);

}  // namespace bitwright
