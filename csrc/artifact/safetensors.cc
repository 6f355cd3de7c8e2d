#include "artifact/safetensors.h"

#include <algorithm>
#include <stdexcept>

namespace bitwright {
namespace {

constexpr uint64_t kMostHeader = 1 << 24, kSmallHeader = 1 << 20;
constexpr size_t kMostTensors = 50'000;
constexpr int64_t kMostElements = int64_t{1} << 28;
constexpr char kDamaged[] = "not a safetensors file, or a damaged one";

void expect(bool holds, const std::string& what) {
  if (!holds) throw std::invalid_argument(what);
}

struct Place {
  int64_t begin, end;
};

Place place_of(const std::optional<Json>& offsets) {
  auto list = offsets.value_or(Json{}).as<Json::List>();
  expect(list && list->size() == 2, kDamaged);
  auto begin = (*list)[0].as<int64_t>(), end = (*list)[1].as<int64_t>();
  expect(begin && end && *begin >= 0 && *begin <= *end, kDamaged);
  return {*begin, *end};
}

// Whether a string of a header spells a character beyond ASCII by its number.
bool has_numbered(std::string_view header) {
  for (size_t at = 0; at + 1 < header.size(); ++at) {
    if (header[at] != '\\' || header[++at] != 'u') continue;
    std::string_view digits = header.substr(at + 1, 3);
    if (digits.size() < 3 || digits.substr(0, 2) != "00" || digits[2] < '0' || digits[2] > '7') return true;
  }
  return false;
}

// The text under "bitwright" of the metadata.
std::string document_in(const std::optional<Json>& metadata) {
  auto texts = metadata.value_or(Json{}).as<Json::Object>();
  expect(texts.has_value(), "not a bitwright artifact");
  std::optional<std::string> found;
  for (const auto& [key, value] : *texts) {
    auto text = value.as<std::string>();
    auto is_ascii = [](char c) { return static_cast<uint8_t>(c) < 0x80; };
    expect(text && (value.text().size() < kMostPart || std::all_of(text->begin(), text->end(), is_ascii)), kDamaged);
    if (key == "bitwright") found = std::move(text);
  }
  expect(found.has_value(), "not a bitwright artifact");
  return std::move(*found);
}

}  // namespace

void expect_part(const Json& part) { expect(part.text().size() < kMostPart, "a part of the document has 2^18 bytes or more"); }

std::vector<int64_t> shape_of(const std::optional<Json>& list, const std::string& where, size_t least, int64_t lowest) {
  auto sizes = list.value_or(Json{}).as<Json::List>();
  expect(sizes && sizes->size() >= least && sizes->size() <= 8, where + ": expected a shape");
  std::vector<int64_t> shape;
  int64_t elements = 1;
  for (const Json& size : *sizes) {
    auto number = size.as<int64_t>();
    expect(number && *number >= lowest, where + ": expected a shape");
    expect(!elements || *number <= kMostElements / elements, where + ": it has more than 2^28 elements");
    shape.push_back(*number), elements *= *number;
  }
  return shape;
}

Safetensors read_safetensors(std::span<const uint8_t> file) {
  expect(file.size() >= 8, kDamaged);
  uint64_t size = 0;
  for (int i = 0; i < 8; ++i) size |= static_cast<uint64_t>(file[i]) << 8 * i;
  expect(size <= kMostHeader && size <= file.size() - 8, kDamaged);
  Safetensors found;
  found.header = file.subspan(8, size);
  expect(!found.header.empty() && found.header[0] == '{', kDamaged);
  std::string_view text(reinterpret_cast<const char*>(found.header.data()), found.header.size());
  expect(size <= kSmallHeader || !has_numbered(text), "a header of more than 2^20 bytes that escapes characters by numbers");
  Json header = Json::parsed(text);
  std::span<const uint8_t> body = file.subspan(8 + size);

  std::vector<Place> places;
  const Json::Object entries = *header.as<Json::Object>();
  for (const auto& [name, entry] : entries) {
    if (name == "__metadata__") continue;
    expect(places.size() < kMostTensors, "expected at most 50000 tensors");
    expect_part(entry);
    auto kind = entry.find("dtype").value_or(Json{}).as<std::string>();
    expect(kind && (*kind == "F32" || *kind == "U8"), "tensor '" + name + "': expected the dtype F32 or U8");
    Tensor tensor;
    tensor.type = *kind == "F32" ? Type::float32 : Type::uint8;
    tensor.shape = shape_of(entry.find("shape"), "tensor '" + name + "'", 0, 0);
    Place place = place_of(entry.find("data_offsets"));
    int64_t bytes = tensor.type == Type::float32 ? 4 : 1;
    for (int64_t d : tensor.shape) bytes *= d;
    expect(place.end - place.begin == bytes && static_cast<uint64_t>(place.end) <= body.size(), kDamaged);
    tensor.bytes = body.subspan(static_cast<size_t>(place.begin), static_cast<size_t>(bytes));
    places.push_back(place);
    found.tensors.emplace(name, std::move(tensor));
  }
  std::sort(places.begin(), places.end(),
            [](Place a, Place b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  int64_t end = 0;
  for (Place place : places) expect(place.begin == end, kDamaged), end = place.end;
  expect(static_cast<uint64_t>(end) == body.size(), kDamaged);

  found.metadata = document_in(header.find("__metadata__"));
  return found;
}

}  // namespace bitwright
