// Files of artifacts by choices.
#pragma once

#include <string>
#include <vector>

#include "fuzz/choices.h"

namespace bitwright::fuzz {

// A file: the JSON in its header's metadata, the rest of the header's members, and the bytes behind it.
struct File {
  std::string document, entries;
  std::vector<uint8_t> body;
  bool sealed = false;  // its provenance ends with the digest of the contents
};

// A small sound one: every scheme, encoder, spelling and format, for some choice.
File make_file(Choices& choices);

// Its bytes. What is sealed has its digest made here.
std::vector<uint8_t> bytes_of(const File& file);

}  // namespace bitwright::fuzz
