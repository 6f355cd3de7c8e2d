// What processors can do, as a bit set; what this one can; and the named sets that BITWRIGHT_ISA and `isa=` choose from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bitwright {

// One bit each. Instructions that no processor has apart are one feature.
using Features = uint32_t;
constexpr Features kAvx2 = 1 << 0;             // with FMA
constexpr Features kAvxVnni = 1 << 1;          // VPDPBUSD on 256 bits in its VEX encoding, which Ice Lake and Zen 4 lack
constexpr Features kAvx512 = 1 << 2;           // F, BW, DQ and VL: Skylake-SP
constexpr Features kAvx512Vnni = 1 << 3;       // Cascade Lake, Cooper Lake
constexpr Features kAvx512Vbmi = 1 << 4;       // Ice Lake, Zen 4
constexpr Features kAvx512Vpopcntdq = 1 << 5;  // likewise
constexpr Features kAmxInt8 = 1 << 6;          // with the tile registers
constexpr Features kNeon = 1 << 7;             // Advanced SIMD, of every aarch64
constexpr Features kDotProd = 1 << 8;          // SDOT and UDOT: Cortex-A55 and A75, Neoverse N1, Apple M1
constexpr Features kI8mm = 1 << 9;             // USDOT and matrices of 8 bits: Neoverse V1, Cortex-A510, Apple M2

// What came together.
constexpr Features kSkylake = kAvx2 | kAvx512, kCascadeLake = kSkylake | kAvx512Vnni, kIceLake = kCascadeLake | kAvx512Vbmi;

constexpr bool has(Features all, Features wanted) { return (all & wanted) == wanted; }

// What both the processor and the operating system support.
Features detected_features();

// The features that the named set `isa` allows, as far as this machine has them; an empty name stands for the environment
// variable BITWRIGHT_ISA, and without that for all of them. Throws std::runtime_error for a name that is unknown, and for
// one that needs a feature this machine lacks.
Features allowed_features(const std::string& isa);

// The names of the sets, smallest first.
std::vector<std::string> isa_names();

// The largest named set within `features`; and the smallest that allows a kernel to need `features`.
const char* isa_within(Features features);
const char* isa_for(Features features);

// Single features by name, such as "avx512vbmi". Throws std::runtime_error for an unknown one.
std::vector<std::string> feature_names(Features features);
Features features_named(const std::vector<std::string>& names);

}  // namespace bitwright
