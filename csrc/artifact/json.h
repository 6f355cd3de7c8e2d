// JSON as RFC 8259 has it and nothing else, for documents that may come from anywhere: keys that stand twice, lone surrogates,
// numbers beyond float64 and nesting deeper than 200 are refused.
//
// A value is its text, which is read again whenever somebody asks: however large a document is, nothing is built of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitwright {

class Json {
 public:
  class List;
  class Object;
  struct Member;

  // Throws std::invalid_argument, which says what is wrong and at which byte. `text` must outlive what is returned.
  static Json parsed(std::string_view text);

  // null
  Json() : text_("null") {}
  bool is_null() const { return text_[0] == 'n'; }
  // A List, an Object, a std::string, an int64_t, or a double, which a number with a point or an exponent is. Nothing where it
  // is of another kind, and of an integer that int64_t does not hold.
  template <class T>
  std::optional<T> as() const;
  // Of an object the member of this key; nothing where there is none, and of anything else.
  std::optional<Json> find(std::string_view key) const;
  std::string_view text() const { return text_; }

 private:
  explicit Json(std::string_view text) : text_(text) {}

  std::string_view text_;  // without the space around it
};

struct Json::Member {
  std::string key;
  Json value;
};

// What a List and an Object share: a walk through their text.
class JsonWalk {
 public:
  // Steps over a key, where the walk is through an object, and a value; false where there is no other.
  bool next(bool keyed);
  std::string_view key, value;

 protected:
  explicit JsonWalk(std::string_view text) : left_(text.substr(1)) {}

 private:
  std::string_view left_;
};

class Json::List {
 public:
  explicit List(std::string_view text) : text_(text) {}

  class Items : public JsonWalk {
   public:
    explicit Items(std::string_view text) : JsonWalk(text), more_(next(false)) {}
    Items& operator++() { return more_ = next(false), *this; }
    Json operator*() const { return Json(value); }
    bool operator!=(std::nullptr_t) const { return more_; }

   private:
    bool more_;
  };
  Items begin() const { return Items(text_); }
  std::nullptr_t end() const { return nullptr; }
  size_t size() const;
  Json operator[](size_t which) const;

 private:
  std::string_view text_;
};

class Json::Object {
 public:
  explicit Object(std::string_view text) : text_(text) {}

  class Members : public JsonWalk {
   public:
    explicit Members(std::string_view text) : JsonWalk(text), more_(next(true)) {}
    Members& operator++() { return more_ = next(true), *this; }
    Member operator*() const;
    bool operator!=(std::nullptr_t) const { return more_; }

   private:
    bool more_;
  };
  Members begin() const { return Members(text_); }  // in the order of the text
  std::nullptr_t end() const { return nullptr; }
  size_t size() const;

 private:
  std::string_view text_;
};

}  // namespace bitwright
