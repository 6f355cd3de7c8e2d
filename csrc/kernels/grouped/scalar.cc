// The plainest loop: it accepts everything and is what the others are tested against.
#include "kernels/grouped/panels.h"

namespace bitwright {
namespace {

using Layout = Panels<16, 1>;

void run(const GroupedParams& p, const Buffers& at, int begin, int end) {
  int depth = depth_of(p), outs = padded_outs(p);
  Layout::run(p, at, begin, end, [&](const uint8_t* x, const int8_t* w, int panel, const int32_t*, float* t) {
    for (int g = 0; g < p.groups; ++g) {
      ptrdiff_t at_group = static_cast<ptrdiff_t>(g) * outs + panel * 16;
      uint32_t acc[16];  // partial sums may wrap; the whole fits int32
      std::memcpy(acc, p.start + at_group, sizeof acc);
      for (int i = 0; i < depth; ++i, w += 16)
        for (int lane = 0; lane < 16; ++lane) acc[lane] += static_cast<uint32_t>(x[g * depth + i] * w[lane]);
      for (int lane = 0; lane < 16; ++lane) {
        float product = static_cast<float>(static_cast<int32_t>(acc[lane])) * p.m[at_group + lane];
        t[lane] = t[lane] + product;
      }
    }
  });
}

}  // namespace

const Kernel<GroupedParams> grouped_scalar = {Layout::count, Layout::bytes, Layout::pack, nullptr, run};

}  // namespace bitwright
