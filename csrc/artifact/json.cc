#include "artifact/json.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <utility>

namespace bitwright {
namespace {

constexpr int kDeepest = 200;
constexpr int kMostValues = 1 << 23;
constexpr size_t kMostDigits = 4300;  // of an integer, as Python has it

// The length of the UTF-8 sequence at the beginning; 0 where there is none.
size_t sequence(std::string_view text) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0u; };
  auto follows = [&](size_t i, unsigned low = 0x80, unsigned high = 0xbf) { return byte(i) >= low && byte(i) <= high; };
  unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef)
    return follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) && follows(2) ? 3 : 0;
  if (first >= 0xf0 && first <= 0xf4)
    return follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) && follows(2) && follows(3) ? 4 : 0;
  return 0;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Json whole() {
    Json found = value(0);
    space();
    expect(at_ == text_.size(), "something follows the document");
    return found;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw std::invalid_argument("JSON, byte " + std::to_string(at_) + ": " + what);
  }
  void expect(bool holds, const char* what) const {
    if (!holds) fail(what);
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void space() {
    while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
  }
  bool taken(char c) {
    space();
    if (at_ == text_.size() || peek() != c) return false;
    return ++at_, true;
  }
  bool word(std::string_view wanted) {
    if (text_.substr(at_, wanted.size()) != wanted) return false;
    return at_ += wanted.size(), true;
  }

  Json value(int depth) {
    expect(depth < kDeepest, "it is nested too deep");
    expect(++values_ <= kMostValues, "it has too many values");
    space();
    switch (peek()) {
      case '{': return {object(depth)};
      case '[': return {list(depth)};
      case '"': return {string()};
      case 't': expect(word("true"), "expected a value"); return {true};
      case 'f': expect(word("false"), "expected a value"); return {false};
      case 'n': expect(word("null"), "expected a value"); return {};
      default: return number();
    }
  }

  Json::List list(int depth) {
    Json::List found;
    ++at_;
    if (taken(']')) return found;
    do found.push_back(value(depth + 1));
    while (taken(','));
    expect(taken(']'), "expected , or ]");
    return found;
  }

  Json::Object object(int depth) {
    Json::Object found;
    ++at_;
    if (taken('}')) return found;
    do {
      space();
      expect(peek() == '"', "expected a key");
      std::string key = string();
      expect(taken(':'), "expected :");
      found.push_back({std::move(key), value(depth + 1)});
    } while (taken(','));
    expect(taken('}'), "expected , or }");
    auto before = [](const Json::Member& a, const Json::Member& b) { return a.key < b.key; };
    std::sort(found.begin(), found.end(), before);
    auto same = [](const Json::Member& a, const Json::Member& b) { return a.key == b.key; };
    expect(std::adjacent_find(found.begin(), found.end(), same) == found.end(), "a key stands twice in one object");
    return found;
  }

  size_t digits() {
    size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ - begin;
  }

  Json number() {
    size_t begin = at_;
    if (peek() == '-') ++at_;
    size_t first = at_, count = digits();
    expect(count > 0, "expected a value");
    expect(count == 1 || text_[first] != '0', "a number begins with 0");
    bool real = false;
    if (peek() == '.') {
      ++at_, real = true;
      expect(digits() > 0, "expected digits");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_, real = true;
      if (peek() == '+' || peek() == '-') ++at_;
      expect(digits() > 0, "expected digits");
    }
    const char *from = text_.data() + begin, *to = text_.data() + at_;
    if (real) return {decimal(from, to)};
    int64_t whole;
    if (std::from_chars(from, to, whole).ec == std::errc()) return {whole};
    expect(count <= kMostDigits, "an integer has too many digits");
    return {BigInteger{}};
  }

  double decimal(const char* from, const char* to) const {
    double found = 0;
    if (std::from_chars(from, to, found).ec == std::errc()) return found;
    // Out of range: too small is 0, too large is refused. The power of ten of the first digit that is not 0 tells which.
    std::string_view all(from, static_cast<size_t>(to - from));
    size_t mark = std::min(all.find_first_of("eE"), all.size());
    std::string_view digits = all.substr(0, mark);
    int exponent = 0;
    std::string_view power = mark == all.size() ? "0" : all.substr(mark + 1);
    if (power[0] == '+') power.remove_prefix(1);
    bool huge = std::from_chars(power.data(), power.data() + power.size(), exponent).ec != std::errc();
    size_t first = digits.find_first_of("123456789");
    auto place = static_cast<int64_t>(std::min(digits.find('.'), digits.size())) - static_cast<int64_t>(first);
    expect(first == digits.npos || (huge ? power[0] == '-' : exponent + place < 0), "a number does not fit float64");
    return 0;
  }

  unsigned hex4() {
    unsigned code = 0;
    expect(at_ + 4 <= text_.size(), "expected four hexadecimal digits");
    const char* from = text_.data() + at_;
    expect(std::from_chars(from, from + 4, code, 16).ptr == from + 4 && *from != '-', "expected four hexadecimal digits");
    at_ += 4;
    return code;
  }

  void escape(std::string& to) {
    static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    char kind = peek();
    ++at_;
    if (size_t which = kFrom.find(kind); which != kFrom.npos && kind != '\0') return to.push_back(kTo[which]);
    expect(kind == 'u', "unknown escape");
    unsigned code = hex4();
    if (code >= 0xd800 && code <= 0xdfff) {
      expect(code < 0xdc00 && word("\\u"), "a lone surrogate is no text");
      unsigned low = hex4();
      expect(low >= 0xdc00 && low <= 0xdfff, "a lone surrogate is no text");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    auto put = [&](unsigned byte) { to.push_back(static_cast<char>(byte)); };
    auto rest = [&](int shift) { put(0x80 | ((code >> shift) & 0x3f)); };
    if (code < 0x80) return put(code);
    if (code < 0x800) return put(0xc0 | code >> 6), rest(0);
    if (code < 0x10000) return put(0xe0 | code >> 12), rest(6), rest(0);
    put(0xf0 | code >> 18), rest(12), rest(6), rest(0);
  }

  std::string string() {
    std::string found;
    for (++at_; at_ < text_.size() && peek() != '"';) {
      expect(static_cast<uint8_t>(peek()) >= 0x20, "a control character in a string");
      if (peek() == '\\') {
        ++at_, escape(found);
      } else {
        size_t count = sequence(text_.substr(at_));
        expect(count > 0, "it is not UTF-8");
        found.append(text_, at_, count), at_ += count;
      }
    }
    expect(at_ < text_.size(), "a string has no end");
    ++at_;
    return found;
  }

  std::string_view text_;
  size_t at_ = 0;
  int values_ = 0;
};

}  // namespace

Json Json::parsed(std::string_view text) { return Parser(text).whole(); }

const Json* Json::find(std::string_view key) const {
  const Object* members = as<Object>();
  if (!members) return nullptr;
  auto found = std::lower_bound(members->begin(), members->end(), key,
                                [](const Member& member, std::string_view wanted) { return member.key < wanted; });
  return found != members->end() && found->key == key ? &found->value : nullptr;
}

}  // namespace bitwright
