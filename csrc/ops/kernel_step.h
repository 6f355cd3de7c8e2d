// A step that is one kernel, bound to its numbers and packed weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/rows.h"
#include "ops/step.h"

namespace bitwright {

// Per-channel numbers for kernels that load whole vectors of them: aligned, and zero beyond the last.
template <class T>
AlignedBytes padded(const std::vector<T>& values) {
  AlignedBytes bytes(((values.size() + 63) / 64 * 64 + 64) * sizeof(T));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), values.size() * sizeof(T));
  return bytes;
}

// Whether no t reaches 2^31: an accumulator is below 2^31, so a multiplier below 0.5 leaves room for the other terms.
inline bool is_narrow(const Epilogue& e, const std::vector<float>& m, const std::vector<float>& b) {
  auto largest = [](const std::vector<float>& values) {
    double most = 0;
    for (float v : values) most = std::max(most, std::abs(static_cast<double>(v)));
    return most;
  };
  double most = largest(b) + 255.0 * std::abs(static_cast<double>(e.m_r));
  return largest(m) < 0.5 && most < 0x1p29;
}

template <class Params>
class KernelStep : public Step {
 public:
  KernelStep(const Graph& graph, const Layout& layout, const Layer& layer) {
    const Node& node = *layer.node;
    name = node.name, op = node.op, in = node.inputs[0], out = layer.output;
    if (node.inputs.size() > 1) second = node.inputs[1];
    params.in = layout.place(in).map, params.out = layout.place(out).map;
    bytes = graph.values[in].count() + graph.values[out].count();
    const Value &from = graph.values[in], &to = graph.values[out];
    if (op == "table") {
      set_table(node.tensors.at("table"), from.stored_step(), to.stored_step());
    } else if (layer.table) {
      set_table(*layer.table, op == "max_pool2d" ? from.stored_step() : 1, to.stored_step());
    } else if (!to.is_float && to.stored_step() != 1 && op != "max_pool2d") {
      for (int code = 0; code < 256; ++code)
        table_.push_back(static_cast<uint8_t>(std::min(code, to.max_code) * to.stored_step()));
    }
  }

  void run(const Buffers& at, int begin, int end) const noexcept override { kernel_->run(params, at, begin, end); }

  // All units of a map that is no larger than the one it was bound to.
  void run_all(const Params& of, const Buffers& at) const { kernel_->run(of, at, 0, kernel_->units(of)); }

  const uint8_t* table() const { return table_.empty() ? nullptr : table_.data(); }

  // A table from codes stored as multiples of `from` to codes stored as multiples of `to`.
  void set_table(const Tensor& table, int from, int to) {
    auto codes = table.as<uint8_t>();
    for (size_t i = 0; i < codes.size(); ++i)
      table_.push_back(static_cast<uint8_t>(codes[i / 256 * 256 + i % 256 / from] * to));
  }

  template <class T>
  const T* keep(const std::vector<T>& values) {
    kept_.push_back(padded(values));
    return reinterpret_cast<const T*>(kept_.back().data());
  }

  // How t is stored: bounds, table, or float.
  Epilogue store(const Graph& graph, const Node& node) const {
    Epilogue e = {};
    e.table = table();
    e.to_float = graph.values[out].is_float;
    if (!e.to_float) {
      e.lo = static_cast<float>(node.attrs.at("lo")[0]);
      e.hi = static_cast<float>(node.attrs.at("hi")[0]);
    }
    return e;
  }

  Epilogue epilogue(const Graph& graph, const Node& node, const std::vector<float>& m, const std::vector<float>& b) {
    Epilogue e = store(graph, node);
    e.m = keep(m), e.b = keep(b);
    if (second >= 0) {
      e.residual = true;
      e.m_r = node.tensors.at("m_r").as<float>()[0];
      e.r_zp = graph.values[second].zero_point(0);
    }
    e.narrow = is_narrow(e, m, b);
    return e;
  }

  // A kernel that this machine cannot run is chosen all the same, so that choices can be tested, but none of its code is
  // called: such a step says what it is, and does not run.
  void bind(const KernelTable<Params>& kernels, Features features, const int8_t* weights = nullptr) {
    const KernelRow<Params>& row = kernels.choose(params, features);
    kernel = row.name, isa = isa_for(row.needs), kernel_ = row.kernel;
    if (!has(detected_features(), row.needs)) return;
    units = kernel_->units(params);
    if (kernel_->scratch_bytes) scratch_bytes = kernel_->scratch_bytes(params);
    if constexpr (requires { params.weights; }) {
      packed_ = AlignedBytes(kernel_->packed_bytes(params));
      kernel_->pack(params, weights, packed_.data());
      params.weights = packed_.data();
      weight_bytes = static_cast<int64_t>(packed_.size());
      bytes += weight_bytes;
    }
  }

  Params params = {};

 private:
  const Kernel<Params>* kernel_ = nullptr;
  AlignedBytes packed_;
  std::vector<AlignedBytes> kept_;
  std::vector<uint8_t> table_;
};

}  // namespace bitwright
