#include "artifact/json.h"

#include <algorithm>
#include <charconv>
#include <forward_list>
#include <stdexcept>
#include <vector>

namespace bitwright {
namespace {

constexpr int kDeepest = 200;
constexpr size_t kMostDigits = 4300;  // of an integer, as Python has it
constexpr size_t kMostKeys = 1 << 17;  // of an object
constexpr size_t kLongestKey = (1 << 18) - 1;  // as it is spelled: MAX_PART of Python

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

constexpr std::string_view kSpace = " \t\n\r";

// Goes through a text and checks it.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::string_view whole() {
    space();
    size_t begin = at_;
    value(0);
    size_t end = at_;
    space();
    expect(at_ == text_.size(), "something follows the document");
    return text_.substr(begin, end - begin);
  }

  // What the string here says.
  std::string decoded() {
    std::string found;
    found.reserve(text_.size());
    string(&found);
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
  void space() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }
  bool taken(char c) {
    space();
    if (at_ == text_.size() || peek() != c) return false;
    return ++at_, true;
  }
  bool word(std::string_view wanted) {
    if (text_.substr(at_, wanted.size()) != wanted) return false;
    return at_ += wanted.size(), true;
  }

  void value(int depth) {
    expect(depth < kDeepest, "it is nested too deep");
    space();
    switch (peek()) {
      case '{': return object(depth);
      case '[': return list(depth);
      case '"': return string(nullptr);
      case 't': return expect(word("true"), "expected a value");
      case 'f': return expect(word("false"), "expected a value");
      case 'n': return expect(word("null"), "expected a value");
      default: return number();
    }
  }

  void list(int depth) {
    ++at_;
    if (taken(']')) return;
    do value(depth + 1);
    while (taken(','));
    expect(taken(']'), "expected , or ]");
  }

  void object(int depth) {
    std::vector<std::string_view> keys;
    std::forward_list<std::string> escaped;  // where keys that are spelled otherwise lie
    ++at_;
    if (taken('}')) return;
    do {
      space();
      expect(peek() == '"', "expected a key");
      size_t begin = at_;
      string(nullptr);
      std::string_view key = text_.substr(begin, at_ - begin);
      expect(key.size() <= kLongestKey && keys.size() < kMostKeys, "too many keys in one object, or too long ones");
      if (key.find('\\') == key.npos)
        key = key.substr(1, key.size() - 2);
      else
        key = escaped.emplace_front(Parser(key).decoded());
      keys.push_back(key);
      expect(taken(':'), "expected :");
      value(depth + 1);
    } while (taken(','));
    expect(taken('}'), "expected , or }");
    std::sort(keys.begin(), keys.end());
    expect(std::adjacent_find(keys.begin(), keys.end()) == keys.end(), "a key stands twice in one object");
  }

  size_t digits() {
    size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ - begin;
  }

  void number() {
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
    if (real) return decimal(text_.data() + begin, text_.data() + at_);
    expect(count <= kMostDigits, "an integer has too many digits");
  }

  void decimal(const char* from, const char* to) const {
    double found = 0;
    if (std::from_chars(from, to, found).ec == std::errc()) return;
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
  }

  unsigned hex4() {
    unsigned code = 0;
    expect(at_ + 4 <= text_.size(), "expected four hexadecimal digits");
    const char* from = text_.data() + at_;
    expect(std::from_chars(from, from + 4, code, 16).ptr == from + 4 && *from != '-', "expected four hexadecimal digits");
    at_ += 4;
    return code;
  }

  void escape(std::string* to) {
    static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    char kind = peek();
    ++at_;
    if (size_t which = kFrom.find(kind); which != kFrom.npos && kind != '\0') return to ? to->push_back(kTo[which]) : void();
    expect(kind == 'u', "unknown escape");
    unsigned code = hex4();
    if (code >= 0xd800 && code <= 0xdfff) {
      expect(code < 0xdc00 && word("\\u"), "a lone surrogate is no text");
      unsigned low = hex4();
      expect(low >= 0xdc00 && low <= 0xdfff, "a lone surrogate is no text");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (!to) return;
    auto put = [&](unsigned byte) { to->push_back(static_cast<char>(byte)); };
    auto rest = [&](int shift) { put(0x80 | ((code >> shift) & 0x3f)); };
    if (code < 0x80) return put(code);
    if (code < 0x800) return put(0xc0 | code >> 6), rest(0);
    if (code < 0x10000) return put(0xe0 | code >> 12), rest(6), rest(0);
    put(0xf0 | code >> 18), rest(12), rest(6), rest(0);
  }

  void string(std::string* to) {
    for (++at_; at_ < text_.size() && peek() != '"';) {
      expect(static_cast<uint8_t>(peek()) >= 0x20, "a control character in a string");
      if (peek() == '\\') {
        ++at_, escape(to);
      } else {
        size_t count = sequence(text_.substr(at_));
        expect(count > 0, "it is not UTF-8");
        if (to) to->append(text_, at_, count);
        at_ += count;
      }
    }
    expect(at_ < text_.size(), "a string has no end");
    ++at_;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Json Json::parsed(std::string_view text) { return Json(Parser(text).whole()); }

template <>
std::optional<Json::List> Json::as() const {
  return text_[0] == '[' ? std::optional<List>(text_) : std::nullopt;
}

template <>
std::optional<Json::Object> Json::as() const {
  return text_[0] == '{' ? std::optional<Object>(text_) : std::nullopt;
}

template <>
std::optional<std::string> Json::as() const {
  if (text_[0] != '"') return {};
  return Parser(text_).decoded();
}

template <>
std::optional<int64_t> Json::as() const {
  int64_t found;
  const char *from = text_.data(), *to = from + text_.size();
  auto [end, error] = std::from_chars(from, to, found);
  return end == to && error == std::errc() ? std::optional<int64_t>(found) : std::nullopt;
}

template <>
std::optional<double> Json::as() const {
  if (text_[0] == '"' || text_[0] == '[' || text_[0] == '{' || text_.find_first_of(".eE") == text_.npos) return {};
  if (text_[0] == 't' || text_[0] == 'f') return {};
  double found = 0;  // which one stays that is nearer to 0 than any other number
  std::from_chars(text_.data(), text_.data() + text_.size(), found);
  return found;
}

Json::Member Json::Object::Members::operator*() const { return {*Json(key).as<std::string>(), Json(value)}; }

std::optional<Json> Json::find(std::string_view wanted) const {
  auto members = as<Object>();
  if (!members) return {};
  for (auto each = members->begin(); each != members->end(); ++each) {
    bool plain = each.key.substr(1, each.key.size() - 2) == wanted;
    if (plain || (each.key.find('\\') != each.key.npos && (*each).key == wanted)) return Json(each.value);
  }
  return {};
}

}  // namespace bitwright
