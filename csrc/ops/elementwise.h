// What the ops of one element at a time have in common: add and mul; batch_norm and dequantize.
#pragma once

#include "kernels/elementwise/elementwise.h"
#include "ops/kernel_step.h"

namespace bitwright {

// A step of two operands, still without its multipliers; and its kernel, once it has them.
std::unique_ptr<KernelStep<ElementwiseParams>> make_two(const Binding&, Elementwise op, Role second);
void bind_two(KernelStep<ElementwiseParams>&);

// mul as a step of its own, or as a part of the layer that reads the product (see squeeze.h).
std::unique_ptr<KernelStep<ElementwiseParams>> make_mul(const Binding&);

// Each channel times a number, plus a number. One m is for all channels; no b is none.
std::unique_ptr<KernelStep<ElementwiseParams>> make_affine(const Binding&, std::vector<float> m, std::vector<float> b);

}  // namespace bitwright
