// The reader of files: whatever the bytes are, std::invalid_argument says so, or it is a sound artifact, which is then run.
// Half of the inputs are a file as they stand; the others change words of the document, and bytes of the tensors, of one that
// is sound.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "artifact/artifact.h"
#include "fuzz/graphs.h"
#include "fuzz/target.h"
#include "runtime/plan.h"

namespace bitwright::fuzz {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr char kDocument[] =
    R"({"format":2,"graph":{"output":"fc","others":{},"values":{"image":{"shape":[1,4,4],"type":{"scheme":"uint8","scale":[0.02],)"
    R"("zero_point":[120],"offset":[0.0]},"channel":0},"conv":{"shape":[2,4,4],"type":{"scheme":"uint8","scale":0.02,"zero_point":)"
    R"(128},"channel":0},"bend":{"shape":[2,4,4],"type":{"scheme":"uint4","scale":0.5,"zero_point":7},"channel":0},"cut":{"shape":)"
    R"([2,4,2],"type":{"scheme":"uint4","scale":0.5,"zero_point":7},"channel":0},"line":{"shape":[16],"type":{"scheme":"uint4",)"
    R"("scale":0.5,"zero_point":7},"channel":0},"fc":{"shape":[2],"type":null,"channel":0}},"nodes":[{"name":"conv","op":"conv2d",)"
    R"("inputs":["image"],"attrs":{"stride":[1,1],"padding":[1,1,1,1],"dilation":[1,1],"groups":1,"weights":"int4","lo":3,"hi":)"
    R"(255},"tensors":{"b":[2],"m":[2],"weight":[2,1,3,3]},"origin":"model.conv"},{"name":"bend","op":"prelu","inputs":["conv"],)"
    R"("attrs":{},"tensors":{"after":[2],"before":[2],"slope":[2]},"origin":""},{"name":"cut","op":"slice","inputs":["bend"],)"
    R"("attrs":{"axis":2,"start":0,"stop":4,"step":2},"tensors":{},"origin":""},{"name":"line","op":"reshape","inputs":["cut"],)"
    R"("attrs":{"shape":[16]},"tensors":{},"origin":""},{"name":"fc","op":"linear","inputs":["line"],"attrs":{"weights":"ternary",)"
    R"("lo":0,"hi":255},"tensors":{"b":[2],"m":[2],"weight":[2,16]},"origin":""}]},"preprocess":{"size":[4,4],"resize":null,)"
    R"("mean":[0.5],"std":[1.0],"scale":0.0039,"mode":"L","interpolation":"bilinear","background":[255,255,255]},"classes":)"
    R"(["cat","dog"],"provenance":{"recipe":"w4a8"}})";
constexpr char kTensors[] =
    R"("conv/b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"conv/m":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},)"
    R"("bend/after":{"dtype":"F32","shape":[2],"data_offsets":[16,24]},"bend/before":{"dtype":"F32","shape":[2],"data_offsets":)"
    R"([24,32]},"bend/slope":{"dtype":"F32","shape":[2],"data_offsets":[32,40]},"fc/b":{"dtype":"F32","shape":[2],"data_offsets":)"
    R"([40,48]},"fc/m":{"dtype":"F32","shape":[2],"data_offsets":[48,56]},"conv/weight":{"dtype":"U8","shape":[9],"data_offsets":)"
    R"([56,65]},"fc/weight":{"dtype":"U8","shape":[7],"data_offsets":[65,72]})";
constexpr int kFloats = 14, kPacked = 16;

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

std::string quoted(const std::string& text) {
  std::string found = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') found += '\\';
    found += c;
  }
  return found + '"';
}

Bytes file_of(const std::string& header, const Bytes& body) {
  Bytes file(8);
  for (int i = 0; i < 8; ++i)
    file[static_cast<size_t>(i)] = static_cast<uint8_t>(static_cast<uint64_t>(header.size()) >> 8 * i);
  file.insert(file.end(), header.begin(), header.end());
  file.insert(file.end(), body.begin(), body.end());
  return file;
}

Bytes made(Choices& choices) {
  std::string document = changed(kDocument, choices.within(0, 3), choices);
  std::string header = "{\"__metadata__\":{\"bitwright\":" + quoted(document) + "}," + kTensors + "}";
  header = changed(header, choices.one_in(4) ? 1 : 0, choices);
  Bytes body(4 * kFloats + kPacked);
  Noise noise(static_cast<uint64_t>(choices.below(1 << 16)));
  for (int i = 0; i < kFloats; ++i) {
    float number = noise.uniform(-1, 1);
    std::copy_n(reinterpret_cast<const uint8_t*>(&number), 4, body.data() + 4 * i);
  }
  for (int i = 0; i < kPacked; ++i) body[static_cast<size_t>(4 * kFloats + i)] = 0x31;
  body.back() = 5;  // two codes of five; the others are padding
  if (choices.one_in(4)) body[static_cast<size_t>(choices.below(4 * kFloats + kPacked))] = noise.byte();
  return file_of(header, body);
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
  bool whole = size > 0 && choices.one_in(2);
  Bytes file = whole ? file_of({reinterpret_cast<const char*>(data) + 1, size - 1}, {}) : made(choices);
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
