// pack as a step: of its own, or of a table whose output is kept as bit planes.
#pragma once

#include "ops/op.h"

namespace bitwright {

Steps make_pack(const Binding&);

}  // namespace bitwright
