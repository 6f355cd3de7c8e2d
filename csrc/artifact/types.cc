#include "artifact/types.h"

#include <limits>
#include <stdexcept>

namespace bitwright {
namespace {

class Reader {
 public:
  Reader(const Json& record, const std::string& where) : record_(record), where_(where) {}

  void expect(bool holds, const char* what) const {
    if (!holds) throw std::invalid_argument(where_ + ": " + what);
  }

  Json field(const char* key) const {
    std::optional<Json> found = record_.find(key);
    expect(found.has_value(), "a type has a scheme, a scale and a zero point");
    return *found;
  }

  double real(const Json& value) const {
    if (auto integer = value.as<int64_t>()) return static_cast<double>(*integer);
    auto number = value.as<double>();
    expect(number.has_value(), "expected a number");
    return *number;
  }

  std::vector<double> reals(const Json& value) const {
    std::vector<double> found;
    if (auto list = value.as<Json::List>())
      for (const Json& item : *list) found.push_back(real(item));
    else
      found.push_back(real(value));
    return found;
  }

  int whole(const Json& value, int lo, int hi) const {
    auto number = value.as<int64_t>();
    expect(number && *number >= lo && *number <= hi, "a zero point is none that its scheme may have");
    return static_cast<int>(*number);
  }

 private:
  const Json& record_;
  const std::string& where_;
};

}  // namespace

QType read_type(const Json& record, const std::string& where, int64_t channels) {
  Reader of(record, where);
  auto members = record.as<Json::Object>();
  Json scale = of.field("scale"), zero = of.field("zero_point");
  std::optional<Json> offset = record.find("offset");
  auto zeros = zero.as<Json::List>();
  of.expect(members->size() == (offset ? 4u : 3u), "a type has a field that is unknown");
  auto name = of.field("scheme").as<std::string>();
  QType found{name ? scheme_named(*name) : nullptr, of.reals(scale), {}, {}, zeros.has_value()};
  of.expect(found.scheme && found.scheme->activations, "expected a scheme for activations");
  int lo = found.scheme->first_zero_point(), hi = found.scheme->last_zero_point();
  if (found.per_channel)
    for (const Json& item : *zeros) found.zero_points.push_back(of.whole(item, lo, hi));
  else
    found.zero_points.push_back(of.whole(zero, lo, hi));
  if (offset) {
    of.expect(offset->as<Json::List>().has_value(), "expected a list of offsets");
    found.offsets = of.reals(*offset);
  }
  auto count = static_cast<size_t>(channels);
  bool listed = scale.as<Json::List>().has_value();
  if (found.per_channel)
    of.expect(listed && found.scales.size() == count && found.zero_points.size() == count && found.offsets.size() == count,
              "expected a scale, a zero point and an offset for each channel");
  else
    of.expect(!listed && found.offsets.empty(), "expected one scale and one zero point");
  for (double s : found.scales)
    of.expect(s >= std::numeric_limits<float>::min() && s <= std::numeric_limits<float>::max(),
              "a scale must be finite, positive and normal");
  return found;
}

}  // namespace bitwright
