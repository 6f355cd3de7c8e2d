// One layer as it runs: a kernel bound to its parameters, weights and values; or a copy.
#pragma once

#include <string>

#include "base/memory.h"
#include "ops/op.h"

namespace bitwright {

// What one run of a step reads and writes.
struct Memory {
  const uint8_t* image = nullptr;  // as the caller gave it
  uint8_t* scratch = nullptr;      // scratch_bytes of the step, one for each thread, 64-byte aligned
  uint8_t* operands[kRoles] = {};  // pixel (0, 0) of each operand's map, by role; null for what the step has not
  const uint8_t* summands[kMostSummands];  // likewise, as many as the step has

  uint8_t*& operator[](Role role) { return operands[static_cast<int>(role)]; }
  uint8_t* operator[](Role role) const { return operands[static_cast<int>(role)]; }
};

struct Operand {
  Role role;
  int value;
};

class Step {
 public:
  virtual ~Step() = default;

  // Does units [begin, end); safe to call from several threads at once. Allocates nothing: others wait for the units that it
  // took.
  virtual void run(const Memory& at, int begin, int end) const noexcept = 0;

  // What was packed when the step was made, and no run writes: weights, numbers of channels, tables.
  virtual std::vector<std::span<const uint8_t>> packed() const { return {}; }

  // The value that has this role, or -1.
  int value(Role role) const {
    for (const Operand& operand : operands)
      if (operand.role == role) return operand.value;
    return -1;
  }
  int out() const { return value(Role::output); }

  std::string name, op, kernel, isa = "scalar";
  int64_t macs = 0, bytes = 0, weight_bytes = 0;
  std::vector<Operand> operands;  // each role once, but for summands
  int units = 1;
  size_t scratch_bytes = 0;
  bool fills_halo = false;  // the first to write its output's buffer
};

template <class T>
Steps one_step(std::unique_ptr<T> step) {
  Steps steps;
  steps.push_back(std::move(step));
  return steps;
}

// Copies the user's image, C bytes a pixel without gaps, to where the graph reads it.
std::unique_ptr<Step> make_image(const Layout&, int image);

// Makes bits of the user's image where the graph reads them.
std::unique_ptr<Step> make_encoded(const Layout&, int image, const Encoder&);

// Throws std::invalid_argument unless the encoder is known and gives the graph's image, which is `bits`.
void check_encoder(const Encoder&, const Value& bits);

}  // namespace bitwright
