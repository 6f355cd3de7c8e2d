// What a file says of the nodes of each op, and what of them the engine runs as something simpler.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "artifact/node.h"

namespace bitwright {
namespace {

const Fields kFields[] = {
    {"add", {"lo", "hi"}, {"m_a", "m_b"}},
    {"attention", {"heads", "lo", "hi"}, {"exp", "m", "m_s", "score_bias"}},
    {"avg_pool2d", {"kernel*", "stride*", "padding*"}, {"m"}},
    {"batch_norm", {"lo", "hi"}, {"m", "b"}},
    {"concat", {"axis"}, {}, false, true},
    {"constant", {}, {"codes"}},
    {"conv2d", {"stride*", "padding*", "dilation*", "groups", "lo", "hi"}, {"weight", "m", "b", "m_r"}, true},
    {"dequantize", {}, {"m"}},
    {"global_avg_pool2d", {}, {"m"}},
    {"group_norm", {"groups", "lo", "hi"}, {"e", "m", "b"}},
    {"layer_norm", {"lo", "hi"}, {"e", "m", "b", "m_x"}},
    {"linear", {"lo", "hi"}, {"weight", "m", "b", "m_r"}},
    {"max_pool2d", {"kernel*", "stride*", "padding*", "dilation*"}, {}, false, true},
    {"mul", {"lo", "hi"}, {"m"}},
    {"pad", {"padding**"}, {}, false, true},
    {"permute", {"dims*"}, {}, false, true},
    {"prelu", {}, {"slope", "before", "after"}, true},
    {"reshape", {"shape*"}, {}, false, true, true},
    {"slice", {"axis", "start", "stop", "step"}, {}, false, true},
    {"table", {}, {"table"}, true},
};

// The `table` [C, 256] of a prelu, in float64 as src/bitwright/ops/prelu.py has it.
void tabulate(Node& node, const StoredValue& in, const StoredValue& out, std::deque<AlignedBytes>& memory) {
  auto refuse = [&](const char* what) { throw std::invalid_argument("node '" + node.name + "' (prelu): " + what); };
  constexpr int kMostChannels = 1 << 16;
  int channels = in.shape[static_cast<size_t>(in.channel)];
  if (!in.type || !out.type) refuse("expected codes");
  if (channels > kMostChannels) refuse("expected at most 2^16 channels");
  auto parameter = [&](const char* key) {
    auto found = node.tensors.find(key);
    bool fits = found != node.tensors.end() && found->second.type == Type::float32 &&
                found->second.shape == std::vector<int64_t>{channels};
    if (!fits) refuse("slope, before and after must be float32, one for each channel");
    return found->second.as<float>();
  };
  auto slope = parameter("slope"), before = parameter("before"), after = parameter("after");
  const QType &x = *in.type, &y = *out.type;
  double unit = y.scales[0] * y.scheme->step, shift = static_cast<double>(y.zero_points[0]) / y.scheme->step;
  memory.emplace_back(static_cast<size_t>(channels) * 256);
  uint8_t* table = memory.back().data();
  for (int c = 0; c < channels; ++c) {
    size_t of = x.per_channel ? static_cast<size_t>(c) : 0, channel = static_cast<size_t>(c);
    double offset = x.per_channel ? x.offsets[of] : 0.0;
    for (int code = 0; code <= x.scheme->hi; ++code) {
      double real = static_cast<double>(x.scheme->step * code - x.zero_points[of]) * x.scales[of] + offset;
      double moved = real + static_cast<double>(before[channel]);
      double bent = (moved > 0 ? moved : moved * static_cast<double>(slope[channel])) + static_cast<double>(after[channel]);
      double rounded = std::nearbyint(bent / unit + shift);
      table[channel * 256 + static_cast<size_t>(code)] =
          static_cast<uint8_t>(std::clamp(rounded, 0.0, static_cast<double>(y.scheme->hi)));
    }
  }
  Tensor made;
  made.shape = {channels, 256}, made.type = Type::uint8, made.bytes = memory.back().bytes();
  node.op = "table", node.tensors = {{"table", made}};
}

}  // namespace

const Fields& fields_of(const std::string& op) {
  for (const Fields& fields : kFields)
    if (fields.op == op) return fields;
  throw std::invalid_argument("unknown op '" + op + "'");
}

void simplify(StoredNode& stored, const StoredValue& in, const StoredValue& out, std::deque<AlignedBytes>& memory) {
  Node& node = stored.node;
  if (node.op == "prelu") tabulate(node, in, out, memory);
  if (node.op == "slice") {  // the step stays within what is cut
    int start = node.attrs["start"][0], stop = node.attrs["stop"][0], &step = node.attrs["step"][0];
    if (start < stop) step = std::min(step, stop - start);
  }
}

}  // namespace bitwright
