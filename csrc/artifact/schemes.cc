#include "artifact/schemes.h"

#include <stdexcept>

namespace bitwright {
namespace {

constexpr Scheme affine(std::string_view name, int bits, bool is_signed) {
  int hi = is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
  return {name, bits, is_signed ? -hi : 0, hi, 1, is_signed, !is_signed};
}

constexpr Scheme kSchemes[] = {
    affine("int8", 8, true),        affine("int7", 7, true),   affine("int6", 6, true),   affine("int5", 5, true),
    affine("int4", 4, true),        affine("int3", 3, true),   affine("int2", 2, true),   {"ternary", 0, -1, 1, 1, true, false},
    affine("uint8", 8, false),      affine("uint7", 7, false), affine("uint6", 6, false), affine("uint5", 5, false),
    affine("uint4", 4, false),      affine("uint3", 3, false), affine("uint2", 2, false), {"binary", 1, -1, 1, 2, true, true},
    {"bit", 1, 0, 1, 1, true, true}};

constexpr int kPerByte = 5;

void expect(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

std::vector<int8_t> ternary(std::span<const uint8_t> packed, int64_t count) {
  std::vector<int8_t> numbers(static_cast<size_t>(count));
  for (size_t i = 0; i < packed.size(); ++i) {
    int rest = packed[i];
    expect(rest < 243, "a byte holds more than five ternary codes");
    for (int64_t at = kPerByte * static_cast<int64_t>(i), end = at + kPerByte; at < end; ++at, rest /= 3) {
      int digit = rest % 3;
      if (at < count)
        numbers[static_cast<size_t>(at)] = static_cast<int8_t>(digit == 2 ? -1 : digit);
      else
        expect(digit == 0, "the padding behind the codes is not zero");
    }
  }
  return numbers;
}

}  // namespace

std::vector<int8_t> Scheme::unpacked(std::span<const uint8_t> packed, int64_t count) const {
  int64_t bytes = width ? (count * width + 7) / 8 : (count + kPerByte - 1) / kPerByte;
  expect(static_cast<int64_t>(packed.size()) == bytes, "the packed codes have a wrong length");
  if (!width) return ternary(packed, count);
  std::vector<int8_t> numbers(static_cast<size_t>(count));
  uint32_t waiting = 0;
  int bits = 0;
  size_t next = 0;
  for (int8_t& number : numbers) {
    if (bits < width) waiting |= static_cast<uint32_t>(packed[next++]) << bits, bits += 8;
    int code = static_cast<int>(waiting & ((1u << width) - 1));
    waiting >>= width, bits -= width;
    if (step == 2)
      code = 2 * code - 1;
    else if (lo < 0 && code > hi)
      code -= 1 << width;
    expect(code >= lo, "a code is below the least of its scheme");
    number = static_cast<int8_t>(code);
  }
  expect(waiting == 0, "the padding behind the codes is not zero");
  return numbers;
}

const Scheme* scheme_named(std::string_view name) {
  for (const Scheme& scheme : kSchemes)
    if (scheme.name == name) return &scheme;
  return nullptr;
}

}  // namespace bitwright
