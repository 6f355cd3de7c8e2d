#include "artifact/safetensors.h"

#include <algorithm>
#include <stdexcept>

namespace bitwright {
namespace {

constexpr uint64_t kMostHeader = 100'000'000;
constexpr int64_t kMostElements = int64_t{1} << 28;
constexpr char kDamaged[] = "not a safetensors file, or a damaged one";

void expect(bool holds, const std::string& what) {
  if (!holds) throw std::invalid_argument(what);
}

struct Place {
  int64_t begin, end;
};

Place place_of(const Json* offsets) {
  const auto* list = offsets ? offsets->as<Json::List>() : nullptr;
  expect(list && list->size() == 2, kDamaged);
  const int64_t *begin = (*list)[0].as<int64_t>(), *end = (*list)[1].as<int64_t>();
  expect(begin && end && *begin >= 0 && *begin <= *end, kDamaged);
  return {*begin, *end};
}

}  // namespace

std::vector<int64_t> shape_of(const Json* list, const std::string& where, size_t least, int64_t lowest) {
  const auto* sizes = list ? list->as<Json::List>() : nullptr;
  expect(sizes && sizes->size() >= least && sizes->size() <= 8, where + ": expected a shape");
  std::vector<int64_t> shape;
  int64_t elements = 1;
  for (const Json& size : *sizes) {
    const auto* number = size.as<int64_t>();
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
  Json header = Json::parsed({reinterpret_cast<const char*>(found.header.data()), found.header.size()});
  std::span<const uint8_t> body = file.subspan(8 + size);

  std::vector<Place> places;
  for (const auto& [name, entry] : *header.as<Json::Object>()) {
    if (name == "__metadata__") continue;
    const Json* dtype = entry.find("dtype");
    const auto* kind = dtype ? dtype->as<std::string>() : nullptr;
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

  const Json* metadata = header.find("__metadata__");
  const auto* texts = metadata ? metadata->as<Json::Object>() : nullptr;
  expect(texts, "not a bitwright artifact");
  for (const auto& [key, text] : *texts) expect(text.as<std::string>(), kDamaged);
  const Json* document = metadata->find("bitwright");
  expect(document, "not a bitwright artifact");
  found.metadata = *document->as<std::string>();
  return found;
}

}  // namespace bitwright
