// What Python sees of this room.
#pragma once

#include <nanobind/nanobind.h>

namespace bitwright {

void add_training(nanobind::module_& m);

}  // namespace bitwright
