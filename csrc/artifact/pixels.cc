#include "artifact/pixels.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace bitwright {
namespace {

constexpr int64_t kMostPixels = 50'000'000;

void expect(bool holds, const char* field) {
  if (!holds) throw std::invalid_argument("preprocess: " + std::string(field) + " is missing or has a bad value");
}

int64_t whole(const Json& value, const char* field, int64_t lo, int64_t hi) {
  auto number = value.as<int64_t>();
  expect(number && *number >= lo && *number <= hi, field);
  return *number;
}

double number(const Json& value, const char* field) {
  if (auto integer = value.as<int64_t>()) return static_cast<double>(*integer);
  auto real = value.as<double>();
  expect(real.has_value(), field);
  return *real;
}

Json::List list(const Json& record, const char* field, size_t count) {
  auto items = record.find(field).value_or(Json{}).as<Json::List>();
  expect(items && items->size() == count, field);
  return *items;
}

struct Pair {
  int height, width;
};

Pair pair(const Json::List& two, const char* field) {
  int64_t height = whole(two[0], field, 1, kMostPixels), width = whole(two[1], field, 1, kMostPixels);
  expect(height * width <= kMostPixels, field);
  return {static_cast<int>(height), static_cast<int>(width)};
}

std::string choice(const Json& record, const char* field, std::initializer_list<const char*> choices) {
  auto text = record.find(field).value_or(Json{}).as<std::string>();
  expect(text && std::find(choices.begin(), choices.end(), *text) != choices.end(), field);
  return *text;
}

// A picture resized so covers the crop.
void check_resize(const std::optional<Json>& resize, Pair size) {
  expect(resize.has_value(), "resize");
  if (resize->is_null()) return;
  if (auto two = resize->as<Json::List>()) {
    expect(two->size() == 2, "resize");
    Pair to = pair(*two, "resize");
    return expect(to.height >= size.height && to.width >= size.width, "resize");
  }
  whole(*resize, "resize", std::max(size.height, size.width), kMostPixels);
}

void check_numbers(const Json& record, size_t channels) {
  double scale = number(record.find("scale").value_or(Json{}), "scale");
  expect(scale > 0, "scale");
  const Json::List means = list(record, "mean", channels), stds = list(record, "std", channels);
  for (size_t c = 0; c < channels; ++c) {
    double mean = number(means[c], "mean"), std = number(stds[c], "std");
    expect(std > 0, "std");
    for (double pixel : {0.0, 255.0}) expect(std::isfinite(static_cast<float>((pixel * scale - mean) / std)), "mean");
  }
}

}  // namespace

Pixels read_preprocess(const Json& record) {
  constexpr size_t kFields = 8;
  auto members = record.as<Json::Object>();
  std::optional<Json> spelling = record.find("encoder");
  expect(members && members->size() == kFields + (spelling ? 1 : 0), "a field");
  Pixels found;
  found.mode = choice(record, "mode", {"RGB", "BGR", "L"});
  found.channels = found.mode == "L" ? 1 : 3;
  choice(record, "interpolation", {"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"});
  Pair size = pair(list(record, "size", 2), "size");
  found.height = size.height, found.width = size.width;
  check_resize(record.find("resize"), size);
  check_numbers(record, static_cast<size_t>(found.channels));
  for (const Json& level : list(record, "background", 3)) whole(level, "background", 0, 255);
  if (spelling) {
    auto text = spelling->as<std::string>();
    expect(text.has_value(), "encoder");
    found.encoder = encoder_named(*text);
  }
  return found;
}

}  // namespace bitwright
