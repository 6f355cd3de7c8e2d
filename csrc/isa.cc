#include "isa.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#ifdef BITWRIGHT_X86
#include <cpuid.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace bitwright {
namespace {

constexpr const char* kNames[] = {"scalar", "avx2", "avxvnni", "avx512vnni", "amx"};

#ifdef BITWRIGHT_X86
constexpr bool bit(unsigned word, int index) { return (word >> index) & 1; }

unsigned long long enabled_states() {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<unsigned long long>(high) << 32) | low;
}

// Linux gives a process the tile registers only when it asks for them.
bool may_use_tiles() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Isa detect() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return Isa::scalar;  // OSXSAVE
  unsigned long long states = enabled_states();
  unsigned b7, c7, d7, a71 = 0, ignored;
  if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return Isa::scalar;
  __get_cpuid_count(7, 1, &a71, &ignored, &ignored, &ignored);
  bool ymm = (states & 0x6) == 0x6, zmm = (states & 0xe6) == 0xe6, tiles = (states & 0x60000) == 0x60000;
  if (!ymm || !bit(b7, 5)) return Isa::scalar;  // AVX2
  bool avx512 = zmm && bit(b7, 16) && bit(b7, 17) && bit(b7, 30) && bit(b7, 31) && bit(c7, 1) && bit(c7, 11);
  if (avx512) return tiles && bit(d7, 24) && bit(d7, 25) && may_use_tiles() ? Isa::amx : Isa::avx512vnni;
  return bit(a71, 4) ? Isa::avxvnni : Isa::avx2;
}

// Zen 4 and Ice Lake have the 512-bit form of VPDPBUSD without the VEX form.
bool has_avxvnni() {
  unsigned a = 0, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && bit(a, 4);
}
#else
Isa detect() { return Isa::scalar; }
bool has_avxvnni() { return false; }
#endif

}  // namespace

Isa detected_isa() {
  static const Isa isa = detect();
  return isa;
}

Isa chosen_isa() {
  const char* asked = std::getenv("BITWRIGHT_ISA");
  if (!asked || !*asked) return detected_isa();
  for (int i = 0; i < 5; ++i) {
    if (std::strcmp(asked, kNames[i]) != 0) continue;
    Isa isa = static_cast<Isa>(i);
    if (isa > detected_isa() || (isa == Isa::avxvnni && !has_avxvnni()))
      throw std::runtime_error(std::string("BITWRIGHT_ISA=") + asked + ", but this processor has no " + asked);
    return isa;
  }
  throw std::runtime_error(std::string("BITWRIGHT_ISA=") + asked +
                           ": expected scalar, avx2, avxvnni, avx512vnni or amx");
}

bool has_vpopcntdq() {
#ifdef BITWRIGHT_X86
  unsigned a, b, c = 0, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && bit(c, 14);
#else
  return false;
#endif
}

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

}  // namespace bitwright
