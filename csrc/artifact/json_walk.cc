// The walk through the items of a list and the members of an object, in text that has been checked.
#include <algorithm>

#include "artifact/json.h"

namespace bitwright {
namespace {

// How many bytes the value takes with which a sound text begins.
size_t extent(std::string_view text) {
  size_t at = 0, depth = 0;
  do {
    char c = text[at];
    if (c == '"')
      for (++at; text[at] != '"'; ++at) at += text[at] == '\\';
    else if (c == '[' || c == '{')
      ++depth;
    else if (c == ']' || c == '}')
      --depth;
    else if (!depth)
      return std::min(text.find_first_of(" \t\n\r,:]}", at), text.size());
    ++at;
  } while (depth);
  return at;
}

}  // namespace

bool JsonWalk::next(bool keyed) {
  auto skip = [&](const char* what) { left_.remove_prefix(std::min(left_.find_first_not_of(what), left_.size())); };
  auto taken = [&] {
    size_t count = extent(left_);
    std::string_view found = left_.substr(0, count);
    return left_.remove_prefix(count), found;
  };
  skip(" \t\n\r,");
  if (left_[0] == ']' || left_[0] == '}') return false;
  if (keyed) key = taken(), skip(" \t\n\r:");
  value = taken();
  return true;
}

size_t Json::List::size() const {
  size_t found = 0;
  for (Items items = begin(); items != end(); ++items) ++found;
  return found;
}

Json Json::List::operator[](size_t which) const {
  Items items = begin();
  for (; which; --which) ++items;
  return *items;
}

size_t Json::Object::size() const {
  size_t found = 0;
  for (Members members = begin(); members != end(); ++members) ++found;
  return found;
}

}  // namespace bitwright
