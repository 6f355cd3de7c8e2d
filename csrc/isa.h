// Which instruction sets this machine has, and the one that BITWRIGHT_ISA asks for.
#pragma once

#include "kernel.h"

namespace bitwright {

// The best instruction set that both the processor and the operating system support.
Isa detected_isa();

// detected_isa(), or BITWRIGHT_ISA; throws std::runtime_error if that is unknown or not to be had here.
Isa chosen_isa();

// VPOPCNTDQ, which not every machine of `avx512vnni` need have.
bool has_vpopcntdq();

const char* isa_name(Isa isa);

}  // namespace bitwright
