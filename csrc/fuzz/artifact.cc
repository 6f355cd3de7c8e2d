// The reader of files: whatever the bytes are, std::invalid_argument says so, or it is a sound artifact, which is then run.
// Some inputs are a file as they stand; the others change words of the header, and bytes, of one that is sound.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "artifact/artifact.h"
#include "fuzz/files.h"
#include "fuzz/graphs.h"
#include "fuzz/target.h"
#include "runtime/plan.h"

namespace bitwright::fuzz {
namespace {

using Bytes = std::vector<uint8_t>;

// Text as words and signs.
std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (char c : text) {
    bool sign = c == '{' || c == '}' || c == '[' || c == ']' || c == ',' || c == ':';
    if (words.empty() || sign || std::string("{}[],:").find(words.back()) != std::string::npos) words.emplace_back();
    words.back() += c;
  }
  return words;
}

std::string changed(const std::string& text, int times, Choices& choices) {
  static const std::vector<std::string> kOthers = {"",
                                                   "null",
                                                   "true",
                                                   "-1",
                                                   "0",
                                                   "1",
                                                   "2",
                                                   "3",
                                                   "7",
                                                   "255",
                                                   "256",
                                                   "4096",
                                                   "2147483648",
                                                   "99999999999999999999",
                                                   "0.5",
                                                   "1e400",
                                                   "1e-400",
                                                   "1e24",
                                                   "{}",
                                                   "[]",
                                                   "\"\"",
                                                   "\"int2\"",
                                                   "\"bit\"",
                                                   "\"binary\"",
                                                   "\"uint8\"",
                                                   "\"add\"",
                                                   "\"image\"",
                                                   "\"fc\"",
                                                   "\"\\ud800\"",
                                                   "\"encoder\":\"thermometer:8\",",
                                                   "\"threshold:otsu\"",
                                                   "\"levels:0.5:1.0:AA==:x\"",
                                                   "\"sha256\":\"0\",",
                                                   "\"BGR\"",
                                                   "\"lo\":1,"};
  std::vector<std::string> words = words_of(text);
  for (int i = 0; i < times; ++i) {
    std::string& word = words[static_cast<size_t>(choices.below(static_cast<int>(words.size())))];
    word = choices.one_in(2) ? choices.of(words) : choices.of(kOthers);
  }
  std::string whole;
  for (const std::string& word : words) whole += word;
  return whole;
}

Bytes made(Choices& choices) {
  File file = make_file(choices);
  file.document = changed(file.document, choices.of<int>({0, 0, 1, 1, 2, 3}), choices);
  if (choices.one_in(6)) file.entries = changed(file.entries, 1, choices);
  if (choices.one_in(6))
    file.body[static_cast<size_t>(choices.below(static_cast<int>(file.body.size())))] ^= 1 + choices.below(255);
  Bytes bytes = bytes_of(file);
  auto place = [&] { return static_cast<size_t>(choices.below(static_cast<int>(bytes.size()))); };
  if (choices.one_in(6)) bytes[place()] = static_cast<uint8_t>(choices.below(256));
  if (choices.one_in(12)) bytes.resize(place());
  return bytes;
}

// A file as it stands: without its length, which is that of all but the tensors.
Bytes as_it_stands(const uint8_t* data, size_t size, size_t tensors) {
  Bytes file(8);
  size_t header = size - std::min(size, tensors);
  for (int i = 0; i < 8; ++i) file[static_cast<size_t>(i)] = static_cast<uint8_t>(static_cast<uint64_t>(header) >> 8 * i);
  file.insert(file.end(), data, data + size);
  return file;
}

Bytes run(const Artifact& artifact, Features features) {
  Plan plan(artifact.graph, features, 1, false);
  Bytes pixels(static_cast<size_t>(plan.image_bytes()), 77), found(static_cast<size_t>(plan.output_bytes()));
  plan.run(pixels.data(), 1, found.data());
  return found;
}

}  // namespace

Outcomes one_input(const uint8_t* data, size_t size) {
  Choices choices(data, size);
  bool whole = size > 2 && choices.one_in(16);
  Bytes file = whole ? as_it_stands(data + 2, size - 2, data[1]) : made(choices);
  try {
    Artifact artifact = read_artifact(file);
    if (!is_small(artifact.graph)) return {.large = 1};
    if (run(artifact, 0) != run(artifact, detected_features())) {
      std::fprintf(stderr, "%s: other bytes than scalar\n", std::string(file.begin() + 8, file.end()).c_str());
      std::abort();
    }
    return {.accepted = 1};
  } catch (const std::invalid_argument&) {
    return {.refused = 1};
  }
}

}  // namespace bitwright::fuzz
