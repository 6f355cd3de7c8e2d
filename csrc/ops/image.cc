// The first step of every plan.
#include <cstring>

#include "ops/step.h"

namespace bitwright {
namespace {

class ImageStep : public Step {
 public:
  void run(const Memory& at, int begin, int end) const noexcept override {
    for (int y = begin; y < end; ++y)
      for (int x = 0; x < (map.pixel == map.c ? 1 : map.w); ++x) {
        size_t size = map.pixel == map.c ? static_cast<size_t>(map.w) * map.c : map.c;
        std::memcpy(at[Role::output] + y * map.row + x * map.pixel, at.image + (static_cast<size_t>(y) * map.w + x) * map.c,
                    size);
      }
  }

  Map map = {};
};

}  // namespace

std::unique_ptr<Step> make_image(const Layout& layout, int image) {
  auto step = std::make_unique<ImageStep>();
  step->name = step->op = "image", step->kernel = "copy";
  step->map = layout.location(image).map;
  step->units = step->map.h;
  step->bytes = 2 * static_cast<int64_t>(step->map.h) * step->map.w * step->map.c;
  step->operands = {{Role::output, image}};
  return step;
}

}  // namespace bitwright
