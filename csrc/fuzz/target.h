// What a fuzz target is: a function of an input's bytes, for libFuzzer (libfuzzer.cc) and for seeded runs (seeded.cc).
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright::fuzz {

// How many graphs, or pictures, of an input came to which end.
struct Outcomes {
  uint64_t accepted = 0, refused = 0, large = 0;  // large: accepted by the check, and not run
};

// Aborts, or throws, where something is wrong.
Outcomes one_input(const uint8_t* data, size_t size);

}  // namespace bitwright::fuzz
