// Finds bits that flip in memory while a plan is in use: checksums of what its steps have packed, from when they were made.
//
// The packed bytes are cut into blocks. Before each call a share of them is summed again, so that in `every` calls all have
// been, and no call takes much longer than others:
//
//   call 0 | call 1 | ... | call every - 1 | call every looks at the blocks of call 0 again
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ops/step.h"

namespace bitwright {

class WeightCheck {
 public:
  WeightCheck(const Steps& steps, int every);

  // Looks at the next share. Throws std::runtime_error, now and ever after, where a block has another sum.
  void before_call();

 private:
  struct Block {
    std::span<const uint8_t> bytes;
    uint64_t sum;
    const std::string* step;
  };

  std::vector<Block> blocks_;
  uint64_t every_;
  std::atomic<uint64_t> calls_{0};
  std::atomic<const Block*> damaged_{nullptr};
};

}  // namespace bitwright
