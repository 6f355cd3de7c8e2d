// The check of graphs: a sound one passes; whatever is wrong in one, std::invalid_argument says so, or nothing is wrong.
#include <stdexcept>

#include "fuzz/graphs.h"
#include "fuzz/target.h"
#include "ops/check.h"

namespace bitwright::fuzz {

Outcomes one_input(const uint8_t* data, size_t size) {
  Choices choices(data, size);
  Outcomes outcomes;
  Made made = make_graph(choices);
  check(made.graph);
  for (++outcomes.accepted; !choices.ended();) {
    Made damaged = damage(made, choices);
    try {
      check(damaged.graph);
      ++outcomes.accepted;
    } catch (const std::invalid_argument&) {
      ++outcomes.refused;
    }
  }
  return outcomes;
}

}  // namespace bitwright::fuzz
