// A step that is one kernel, bound to its numbers and packed weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/rows.h"
#include "ops/step.h"

namespace bitwright {

inline std::vector<float> floats(const Node& node, const char* key) {
  auto values = node.tensors.at(key).as<float>();
  return {values.begin(), values.end()};
}

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
  explicit KernelStep(const Binding& binding) : binding_(&binding) {
    const Layer& layer = binding.layer;
    const Node& node = *layer.node;
    name = node.name, op = node.op;
    for (size_t i = 0; i < node.inputs.size(); ++i) operands.push_back({layer.role_of(i), node.inputs[i]});
    operands.push_back({Role::output, layer.output});
    second_ = layer.op->operands[1];
    params.in = map(Role::codes), params.out = map(Role::output);
    if constexpr (requires { params.second; })
      if (node.inputs.size() > 1) params.second = map(second_);
    if constexpr (requires { params.third; }) params.third = map(third_ = layer.op->operands[2]);
    bytes = of(Role::codes).count() + of(Role::output).count();
    set_table();
  }

  void run(const Memory& at, int begin, int end) const noexcept override {
    kernel_->run(params, {at[Role::codes], at[second_], at[Role::output], at.scratch, at[third_], at.summands}, begin, end);
  }

  std::vector<std::span<const uint8_t>> packed() const override {
    std::vector<std::span<const uint8_t>> all = {packed_.bytes(), table_};
    for (const AlignedBytes& numbers : kept_) all.push_back(numbers.bytes());
    return all;
  }

  // All units of a map that is no larger than the one it was bound to.
  void run_all(const Params& of, const Buffers& at) const { kernel_->run(of, at, 0, kernel_->units(of)); }

  // While the step is made: one of its values, and where it lies.
  const Value& of(Role role) const { return binding_->graph.values[value(role)]; }
  const Map& map(Role role) const { return binding_->layout.location(value(role)).map; }

  const uint8_t* table() const { return table_.empty() ? nullptr : table_.data(); }

  template <class T>
  const T* keep(const std::vector<T>& values) {
    kept_.push_back(padded(values));
    return reinterpret_cast<const T*>(kept_.back().data());
  }

  // How t is stored: bounds, table, or float.
  Epilogue store() const {
    const Node& node = *binding_->layer.node;
    Epilogue e = {};
    e.table = table();
    e.to_float = of(Role::output).is_float;
    if (!e.to_float) {
      e.lo = static_cast<float>(node.attrs.at("lo")[0]);
      e.hi = static_cast<float>(node.attrs.at("hi")[0]);
    }
    return e;
  }

  Epilogue epilogue(const std::vector<float>& m, const std::vector<float>& b) {
    Epilogue e = store();
    e.m = keep(m), e.b = keep(b);
    if (value(Role::residual) >= 0) {
      e.residual = true;
      e.m_r = binding_->layer.node->tensors.at("m_r").template as<float>()[0];
      e.r_zp = of(Role::residual).zero_point(0);
    }
    e.narrow = is_narrow(e, m, b);
    return e;
  }

  // The last thing in making a step. A kernel that this machine cannot run is chosen all the same, so that choices can be
  // tested, but none of its code is called: such a step says what it is, and does not run.
  void bind(const KernelTable<Params>& kernels, const int8_t* weights = nullptr) {
    const KernelRow<Params>& row = kernels.choose(params, binding_->features);
    binding_ = nullptr;
    kernel = row.name, isa = isa_for(row.needs), kernel_ = row.kernel;
    if (!has(detected_features(), row.needs)) return;
    units = kernel_->units(params);
    if (kernel_->scratch_bytes) scratch_bytes = kernel_->scratch_bytes(params);
    if constexpr (requires { params.weights; }) {
      if (!kernel_->pack) return;
      packed_ = AlignedBytes(kernel_->packed_bytes(params));
      kernel_->pack(params, weights, packed_.data());
      params.weights = packed_.data();
      weight_bytes = static_cast<int64_t>(packed_.size());
      bytes += weight_bytes;
    }
  }

  Params params = {};

 private:
  // The table of the op or one that is fused, from codes as multiples of what they come in to codes as multiples of what the
  // output stores; without one, codes that are stored as other multiples need a table of these.
  void set_table() {
    const Layer& layer = binding_->layer;
    const Value& to = of(Role::output);
    int from = layer.op->traits.passes_codes ? of(Role::codes).stored_step() : 1;
    const Tensor* table = layer.op->traits.is_table ? &layer.node->tensors.at("table") : layer.table;
    if (table) {
      auto codes = table->as<uint8_t>();
      for (size_t i = 0; i < codes.size(); ++i)
        table_.push_back(static_cast<uint8_t>(codes[i / 256 * 256 + i % 256 / from] * to.stored_step()));
    } else if (!to.is_float && to.stored_step() != from) {
      for (int code = 0; code < 256; ++code)
        table_.push_back(static_cast<uint8_t>(std::min(code, to.max_code) * to.stored_step()));
    }
  }

  const Binding* binding_;  // null once the step is made
  Role second_;             // of the kernel's second operand, if it has one
  Role third_ = Role::codes;
  const Kernel<Params>* kernel_ = nullptr;
  AlignedBytes packed_;
  std::vector<AlignedBytes> kept_;
  std::vector<uint8_t> table_;
};

}  // namespace bitwright
