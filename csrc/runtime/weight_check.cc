#include "runtime/weight_check.h"

#include <cstring>
#include <stdexcept>

namespace bitwright {
namespace {

constexpr size_t kBlock = 4096, kLanes = 8;

// A step of each lane, h = (h ^ word) * odd, can be undone, so no change of one word goes unseen, and one of several does once
// in 2^64.
uint64_t sum_of(std::span<const uint8_t> bytes) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  uint64_t lanes[kLanes] = {1, 2, 3, 4, 5, 6, 7, 8};
  auto take = [&](const uint8_t* from) {
    uint64_t words[kLanes];
    std::memcpy(words, from, sizeof(words));
    for (size_t i = 0; i < kLanes; ++i) lanes[i] = (lanes[i] ^ words[i]) * kOdd;
  };
  size_t whole = bytes.size() / sizeof(lanes) * sizeof(lanes);
  for (size_t i = 0; i < whole; i += sizeof(lanes)) take(bytes.data() + i);
  uint8_t rest[sizeof(lanes)] = {};
  if (whole < bytes.size()) std::memcpy(rest, bytes.data() + whole, bytes.size() - whole);
  take(rest);
  uint64_t sum = 0;
  for (uint64_t lane : lanes) sum = (sum ^ lane ^ lane >> 32) * kOdd;
  return sum;
}

}  // namespace

WeightCheck::WeightCheck(const Steps& steps, int every) : every_(static_cast<uint64_t>(every)) {
  for (const auto& step : steps)
    for (std::span<const uint8_t> bytes : step->packed())
      for (size_t i = 0; i < bytes.size(); i += kBlock) {
        std::span<const uint8_t> block = bytes.subspan(i, std::min(kBlock, bytes.size() - i));
        blocks_.push_back({block, sum_of(block), &step->name});
      }
}

void WeightCheck::before_call() {
  uint64_t share = calls_.fetch_add(1, std::memory_order_relaxed) % every_;
  for (uint64_t i = share * blocks_.size() / every_; i < (share + 1) * blocks_.size() / every_; ++i)
    if (sum_of(blocks_[i].bytes) != blocks_[i].sum) damaged_ = &blocks_[i];
  if (const Block* block = damaged_)
    throw std::runtime_error("the weights of '" + *block->step + "' have changed in memory since this engine was made");
}

}  // namespace bitwright
