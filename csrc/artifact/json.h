// JSON as RFC 8259 has it and nothing else, for documents that may come from anywhere: keys that stand twice, lone surrogates,
// numbers beyond float64, nesting deeper than 200 and more than 2^23 values are refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace bitwright {

struct BigInteger {};  // one that int64 does not hold: nothing that is read here may be so large

class Json {
 public:
  using List = std::vector<Json>;
  struct Member;
  using Object = std::vector<Member>;  // by key

  // Throws std::invalid_argument, which says what is wrong and at which byte.
  static Json parsed(std::string_view text);

  bool is_null() const { return std::holds_alternative<std::monostate>(value); }
  template <class T>
  const T* as() const {
    return std::get_if<T>(&value);
  }
  // Of an object the member of this key; null where there is none, and of anything else.
  const Json* find(std::string_view key) const;

  std::variant<std::monostate, bool, int64_t, BigInteger, double, std::string, List, Object> value;
};

struct Json::Member {
  std::string key;
  Json value;
};

}  // namespace bitwright
