#include "kernels/features.h"

#include <cstdlib>
#include <stdexcept>

#ifdef BITWRIGHT_X86
#include <cpuid.h>
#endif
#include "base/system.h"

namespace bitwright {
namespace {

struct Feature {
  const char* name;
  Features bit;
};
constexpr Feature kFeatures[] = {
    {"avx2", kAvx2},
    {"avxvnni", kAvxVnni},
    {"avx512", kAvx512},
    {"avx512vnni", kAvx512Vnni},
    {"avx512vbmi", kAvx512Vbmi},
    {"avx512vpopcntdq", kAvx512Vpopcntdq},
    {"amx_int8", kAmxInt8},
    {"neon", kNeon},
    {"dotprod", kDotProd},
    {"i8mm", kI8mm},
};

[[maybe_unused]] constexpr Features kWhereThere = kAvxVnni | kAvx512Vpopcntdq;

// A named set: a machine must have `needs` for it; `allows` are used besides where the machine has them.
struct Isa {
  const char* name;
  Features needs, allows;
};
constexpr Isa kIsas[] = {
    {"scalar", 0, 0},
#ifdef BITWRIGHT_ARM
    {"neon", kNeon, 0},
    {"neon_dotprod", kNeon | kDotProd, 0},
    {"neon_i8mm", kNeon | kDotProd | kI8mm, 0},
#else
    {"avx2", kAvx2, 0},
    {"avxvnni", kAvx2 | kAvxVnni, 0},
    {"avx512", kSkylake, 0},
    {"avx512vnni_novbmi", kCascadeLake, 0},
    {"avx512vnni", kIceLake, kWhereThere},
    {"amx", kIceLake | kAmxInt8, kWhereThere},
#endif
};

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

#ifdef BITWRIGHT_X86
constexpr bool bit(unsigned word, int index) { return (word >> index) & 1; }

// Which registers the operating system saves.
unsigned long long enabled_states() {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<unsigned long long>(high) << 32) | low;
}

Features detect() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return 0;  // OSXSAVE
  bool fma = bit(c, 12);
  unsigned long long states = enabled_states();
  bool ymm = (states & 0x6) == 0x6, zmm = (states & 0xe6) == 0xe6, tiles = (states & 0x60000) == 0x60000;
  unsigned b7, c7, d7, a71 = 0, ignored;
  if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) || !ymm || !fma || !bit(b7, 5)) return 0;
  __get_cpuid_count(7, 1, &a71, &ignored, &ignored, &ignored);
  Features found = kAvx2;
  if (bit(a71, 4)) found |= kAvxVnni;
  if (!zmm || !bit(b7, 16) || !bit(b7, 17) || !bit(b7, 30) || !bit(b7, 31)) return found;
  found |= kAvx512;
  if (bit(c7, 11)) found |= kAvx512Vnni;
#ifdef BITWRIGHT_VEX_AS_EVEX  // scripts/avxvnni
  if (bit(c7, 11)) found |= kAvxVnni;
#endif
  if (bit(c7, 1)) found |= kAvx512Vbmi;
  if (bit(c7, 14)) found |= kAvx512Vpopcntdq;
  if (tiles && bit(d7, 24) && bit(d7, 25) && may_use_tiles()) found |= kAmxInt8;
  return found;
}
#elif defined(BITWRIGHT_ARM)
Features detect() {
  ArmFeatures arm = arm_features();
  return kNeon | (arm.dotprod ? kDotProd : 0) | (arm.dotprod && arm.i8mm ? kI8mm : 0);
}
#else
Features detect() { return 0; }
#endif

}  // namespace

Features detected_features() {
  static const Features features = detect();
  return features;
}

Features allowed_features(const std::string& isa) {
  const char* set = std::getenv("BITWRIGHT_ISA");
  const std::string name = !isa.empty() ? isa : set ? set : "", said = (isa.empty() ? "BITWRIGHT_ISA=" : "isa=") + name;
  if (name.empty()) return detected_features();
  for (const Isa& known : kIsas) {
    if (name != known.name) continue;
    Features missing = known.needs & ~detected_features();
    if (missing)
      throw std::runtime_error(said + ", but this processor has no " + joined(feature_names(missing)) +
                               "; the largest set it has is " + isa_within(detected_features()));
    return (known.needs | known.allows) & detected_features();
  }
  throw std::runtime_error(said + ": expected one of " + joined(isa_names()));
}

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const Isa& isa : kIsas) names.push_back(isa.name);
  return names;
}

const char* isa_within(Features features) {
  const char* largest = "scalar";
  for (const Isa& isa : kIsas)
    if (has(features, isa.needs)) largest = isa.name;
  return largest;
}

const char* isa_for(Features features) {
  for (const Isa& isa : kIsas)
    if (has(isa.needs | isa.allows, features)) return isa.name;
  return "none";
}

std::vector<std::string> feature_names(Features features) {
  std::vector<std::string> names;
  for (const Feature& feature : kFeatures)
    if (has(features, feature.bit)) names.push_back(feature.name);
  return names;
}

Features features_named(const std::vector<std::string>& names) {
  Features features = 0;
  for (const std::string& name : names) {
    Features before = features;
    for (const Feature& feature : kFeatures)
      if (name == feature.name) features |= feature.bit;
    if (features == before)
      throw std::runtime_error("feature '" + name + "': expected, once each, some of " + joined(feature_names(~Features{0})));
  }
  return features;
}

}  // namespace bitwright
