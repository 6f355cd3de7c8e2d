#include "kernels/depthwise/depthwise.h"
#include "kernels/rows.h"

namespace bitwright {
namespace {

bool writes_codes_alone(const DepthwiseParams& p) { return !p.epilogue.residual && !p.epilogue.to_float; }

bool is_ordinary_3x3(const DepthwiseParams& p) {
  const Window& w = p.window;
  bool ordinary = w.kh == 3 && w.kw == 3 && w.dilation_h == 1 && w.dilation_w == 1 && w.stride_w <= 2;
  return ordinary && p.out.w >= 4 && writes_codes_alone(p);
}

bool is_dense(const DepthwiseParams& p) { return p.window.dilation_w == 1 && p.window.kw <= 8 && writes_codes_alone(p); }

bool has_few_taps(const DepthwiseParams& p) { return p.window.kh * p.window.kw <= kMostDepthwiseTaps; }

}  // namespace
}  // namespace bitwright

#define FAMILY depthwise
#define PARAMS DepthwiseParams
#include "kernels/family.inc"
