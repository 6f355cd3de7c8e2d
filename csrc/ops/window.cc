#include "ops/window.h"

namespace bitwright {

Window window_of(const Node& node, int kh, int kw) {
  auto pair = [&](const char* key) {
    auto found = node.attrs.find(key);
    return found == node.attrs.end() ? std::vector<int>{1, 1} : found->second;
  };
  std::vector<int> stride = pair("stride"), dilation = pair("dilation"), padding = node.attrs.at("padding");
  return {kh, kw, stride[0], stride[1], padding[0], padding[1], dilation[0], dilation[1]};
}

std::vector<int> checked_size(const NodeCheck& of, const std::vector<int>& kernel, const std::vector<int>& dilation) {
  const auto &stride = of.attr_within("stride", 2, 1, kMostWindow), &padding = of.attr_within("padding", 4, 0, kMostWindow);
  std::vector<int> size(2);
  for (int axis = 0; axis < 2; ++axis) {
    int room = of.in().shape[1 + axis] + padding[axis] + padding[axis + 2] - (kernel[axis] - 1) * dilation[axis] - 1;
    of.expect(room >= 0, "the window is larger than the padded input");
    size[axis] = room / stride[axis] + 1;
  }
  return size;
}

}  // namespace bitwright
