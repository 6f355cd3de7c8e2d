// The spellings of encoders, NAME or NAME:OPTION, and the tables of those that see one pixel at a time.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <string_view>

#include "artifact/pixels.h"

namespace bitwright {
namespace {

constexpr int kLevels = 256, kMostPlanes = 255;

[[noreturn]] void refuse() { throw std::invalid_argument("preprocess: encoder has a bad value"); }

void expect(bool holds) {
  if (!holds) refuse();
}

// A whole number in 1..most in its shortest form, or `usual` where there is no option.
int whole(const std::optional<std::string_view>& option, int most, int usual) {
  if (!option) return usual;
  int found = 0;
  auto [end, error] = std::from_chars(option->data(), option->data() + option->size(), found);
  expect(error == std::errc() && end == option->data() + option->size() && found >= 1 && found <= most);
  expect(std::to_string(found) == *option);
  return found;
}

template <class Bit>
Encoder levels(int planes, const Bit& bit) {
  Encoder found{"levels", planes, std::vector<uint8_t>(static_cast<size_t>(kLevels * planes))};
  for (int level = 0; level < kLevels; ++level)
    for (int k = 0; k < planes; ++k) found.table[static_cast<size_t>(level * planes + k)] = bit(level, k);
  return found;
}

// As Python writes a float: the fewest digits that tell it from others; plain from 1e-4 to below 1e16.
std::string python_float(double number) {
  char text[32];
  auto end = std::to_chars(text, text + sizeof(text), number, std::chars_format::scientific).ptr;
  std::string all(text, end);
  size_t mark = all.find('e');
  int power = 0;
  const char* from = all.data() + mark + (all[mark + 1] == '+' ? 2 : 1);
  std::from_chars(from, all.data() + all.size(), power);
  if (power < -4 || power >= 16) return all;
  std::string digits, sign = all[0] == '-' ? "-" : "";
  for (char c : all.substr(0, mark))
    if (c >= '0' && c <= '9') digits.push_back(c);
  if (power < 0) return sign + "0." + std::string(static_cast<size_t>(-power - 1), '0') + digits;
  size_t whole = static_cast<size_t>(power) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

double shortest_float(std::string_view text) {
  double found = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), found);
  expect(error == std::errc() && end == text.data() + text.size() && std::isfinite(found) && python_float(found) == text);
  return found;
}

std::vector<uint8_t> base64(std::string_view text) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  expect(text.size() % 4 == 0);
  std::vector<uint8_t> found;
  size_t marks = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text.substr(0, text.size() - marks)) {
    size_t digit = kDigits.find(c);
    expect(digit != kDigits.npos);
    bits = bits << 6 | static_cast<uint32_t>(digit), count += 6;
    if (count >= 8) count -= 8, found.push_back(static_cast<uint8_t>(bits >> count));
  }
  expect((bits & ((1u << count) - 1)) == 0);  // the shortest form leaves zeros
  return found;
}

// BASE:WEIGHTS:BITS:NAME
Encoder written_out(std::string_view option) {
  std::string_view fields[3];
  for (std::string_view& field : fields) {
    size_t end = option.find(':');
    expect(end != option.npos);
    field = option.substr(0, end), option.remove_prefix(end + 1);
  }
  shortest_float(fields[0]);
  int planes = 0;
  for (std::string_view rest = fields[1];;) {
    size_t end = std::min(rest.find(','), rest.size());
    expect(shortest_float(rest.substr(0, end)) > 0 && ++planes <= kMostPlanes);
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  std::vector<uint8_t> bits = base64(fields[2]);
  expect(bits.size() == static_cast<size_t>(kLevels / 8 * planes));
  return levels(planes, [&](int level, int k) {
    int at = level * planes + k;
    return static_cast<uint8_t>(bits[static_cast<size_t>(at / 8)] >> (7 - at % 8) & 1);
  });
}

}  // namespace

Encoder encoder_named(const std::string& spelling) {
  std::string_view name = spelling;
  std::optional<std::string_view> option;
  if (size_t colon = name.find(':'); colon != name.npos) option = name.substr(colon + 1), name = name.substr(0, colon);
  if (name == "threshold") {
    if (option && *option == "otsu") return {"otsu", 1, {}};
    int at = whole(option, 255, 128);
    return levels(1, [=](int level, int) -> uint8_t { return level >= at; });
  }
  if (name == "dither" && !option) return {"dither", 1, {}};
  if (name == "bitplanes")
    return levels(whole(option, 8, 8), [](int level, int k) { return static_cast<uint8_t>(level >> (7 - k) & 1); });
  if (name == "thermometer") {
    int count = whole(option, 255, 8);
    return levels(count, [=](int level, int k) -> uint8_t { return level * (count + 1) / kLevels > k; });
  }
  if (name == "levels" && option) return written_out(*option);
  refuse();
}

}  // namespace bitwright
