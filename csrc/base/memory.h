// Zeroed bytes aligned to a cache line; large ones to huge pages, since weights are streamed once for each image and a
// page table walk for every 4 KiB of them is a good part of the time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include "base/system.h"

namespace bitwright {

constexpr size_t kCacheLine = 64, kHugePage = size_t{1} << 21;

struct AlignedFree {
  std::align_val_t alignment{kCacheLine};
  void operator()(uint8_t* p) const { ::operator delete(p, alignment); }
};

class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(size_t size) : size_(size) {
    std::align_val_t alignment{size >= kHugePage / 2 ? kHugePage : kCacheLine};
    bytes_ = {static_cast<uint8_t*>(::operator new(size ? size : 1, alignment)), AlignedFree{alignment}};
    if (size >= kHugePage / 2) advise_huge_pages(bytes_.get(), size);
    std::memset(bytes_.get(), 0, size);
  }
  uint8_t* data() const { return bytes_.get(); }
  size_t size() const { return size_; }
  std::span<const uint8_t> bytes() const { return {data(), size_}; }

 private:
  std::unique_ptr<uint8_t, AlignedFree> bytes_;
  size_t size_ = 0;
};

}  // namespace bitwright
