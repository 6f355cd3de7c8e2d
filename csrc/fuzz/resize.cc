// Resizing: sizes, filters and areas of every kind; an area of the picture has the bytes that the whole one has there.
#include <cstdlib>
#include <cstring>

#include "fuzz/choices.h"
#include "fuzz/target.h"
#include "pictures/resize.h"

namespace bitwright::fuzz {

Outcomes one_input(const uint8_t* data, size_t size) {
  if (!can_resize(detected_features())) return {};
  Choices choose(data, size);
  auto side = [&] { return choose.one_in(4) ? choose.within(1, 300) : choose.within(1, 40); };
  int height = side(), width = side(), new_height = side(), new_width = side();
  auto filter = static_cast<Filter>(choose.below(5));
  Area area{choose.below(new_height), choose.below(new_width), 0, 0};
  area.height = choose.within(1, new_height - area.top), area.width = choose.within(1, new_width - area.left);
  std::vector<uint8_t> pixels(static_cast<size_t>(height) * width * 3), whole(static_cast<size_t>(new_height) * new_width * 3);
  Noise noise(static_cast<uint64_t>(choose.below(1 << 16)));
  for (uint8_t& byte : pixels) byte = noise.byte();
  std::vector<uint8_t> part(static_cast<size_t>(area.height) * area.width * 3);
  resize_rgb(pixels.data(), height, width, new_height, new_width, filter, {0, 0, new_height, new_width}, whole.data());
  resize_rgb(pixels.data(), height, width, new_height, new_width, filter, area, part.data());
  size_t row = static_cast<size_t>(area.width) * 3;
  for (int y = 0; y < area.height; ++y)
    if (std::memcmp(part.data() + y * row, whole.data() + (static_cast<size_t>(area.top + y) * new_width + area.left) * 3, row))
      std::abort();
  return {.accepted = 1};
}

}  // namespace bitwright::fuzz
