#include "artifact/node.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "artifact/safetensors.h"

namespace bitwright {
namespace {

constexpr float kLargest = 1e24f;
constexpr size_t kMostItems = 8;

class NodeReader {
 public:
  NodeReader(const Json& record, std::map<std::string, Tensor>& tensors, std::deque<AlignedBytes>& memory)
      : record_(record), tensors_(tensors), memory_(memory) {}

  StoredNode read() {
    auto members = record_.as<Json::Object>();
    expect(members && members->size() == 6, "expected its six fields");
    StoredNode found;
    Node& node = found.node;
    node.name = text("name"), name_ = node.name, node.op = text("op");
    text("origin");
    const Fields& fields = fields_of(node.op);
    found.inputs = names("inputs");
    Json::Object attrs = object("attrs"), shapes = object("tensors");
    weighted_ = std::find(fields.tensors.begin(), fields.tensors.end(), "weight") != fields.tensors.end();
    expect(attrs.size() == fields.attrs.size() + (weighted_ ? 1 : 0), "it has other attributes than its op");
    for (std::string_view field : fields.attrs) attribute(node, field);
    if (weighted_) scheme();
    for (const auto& [key, shape] : shapes) {
      expect(std::find(fields.tensors.begin(), fields.tensors.end(), key) != fields.tensors.end(),
             "it has a tensor that its op has not");
      node.tensors[key] = tensor(key, shape);
    }
    return found;
  }

 private:
  void expect(bool holds, const std::string& what) const {
    if (!holds) throw std::invalid_argument("node '" + name_ + "': " + what);
  }

  Json field(const char* key) const {
    std::optional<Json> found = record_.find(key);
    expect(found.has_value(), "expected its six fields");
    return *found;
  }
  std::string text(const char* key) const {
    auto found = field(key).as<std::string>();
    expect(found.has_value(), "its name, op and origin must be text");
    return std::move(*found);
  }
  Json::Object object(const char* key) const {
    auto found = field(key).as<Json::Object>();
    expect(found.has_value(), "its attributes and tensors must be objects");
    return *found;
  }
  std::vector<std::string> names(const char* key) const {
    auto list = field(key).as<Json::List>();
    expect(list.has_value(), "its inputs must be a list of names");
    std::vector<std::string> found;
    for (const Json& item : *list) {
      auto name = item.as<std::string>();
      expect(name.has_value(), "its inputs must be a list of names");
      found.push_back(std::move(*name));
    }
    return found;
  }

  int integer(const Json& value, std::string_view key) const {
    auto number = value.as<int64_t>();
    expect(number && *number >= 0 && *number <= INT32_MAX, "the attribute " + std::string(key) + " has a bad value");
    return static_cast<int>(*number);
  }

  void attribute(Node& node, std::string_view field) const {
    std::string key(field.substr(0, field.find('*')));
    std::optional<Json> value = record_.find("attrs")->find(key);
    expect(value.has_value(), "the attribute " + key + " is missing");
    std::vector<int>& to = node.attrs[key];
    if (key.size() == field.size()) return to.push_back(integer(*value, key));
    auto list = value->as<Json::List>();
    expect(list && list->size() <= kMostItems, "the attribute " + key + " must be a short list");
    for (const Json& item : *list) {
      if (key.size() + 1 == field.size()) {
        to.push_back(integer(item, key));
        continue;
      }
      auto pair = item.as<Json::List>();
      expect(pair && pair->size() == 2, "the attribute " + key + " must be a list of pairs");
      for (const Json& one : *pair) to.push_back(integer(one, key));
    }
  }

  void scheme() {
    auto name = record_.find("attrs")->find("weights").value_or(Json{}).as<std::string>();
    scheme_ = name ? scheme_named(*name) : nullptr;
    expect(scheme_ && scheme_->weights, "expected a scheme for weights");
  }

  Tensor tensor(const std::string& key, const Json& said) {
    std::string where = "tensor " + name_ + "/" + key;
    Tensor found;
    found.shape = shape_of(said, where, 1, 1);
    auto stored = tensors_.extract(name_ + "/" + key);
    expect(!stored.empty(), where + " is missing");
    const Tensor& file = stored.mapped();
    if (key == "weight") {
      expect(file.type == Type::uint8 && file.shape.size() == 1, where + ": expected packed bytes");
      int64_t count = 1;
      for (int64_t d : found.shape) count *= d;
      std::vector<int8_t> codes = scheme_->unpacked(file.bytes, count);
      found.type = Type::int8;
      found.bytes = kept({reinterpret_cast<const uint8_t*>(codes.data()), codes.size()});
      return found;
    }
    expect(file.shape == found.shape, where + " has another shape");
    found.type = file.type;
    found.bytes = kept(file.bytes);
    if (found.type == Type::float32)
      for (float f : found.as<float>())
        expect(f == 0 || (std::abs(f) >= std::numeric_limits<float>::min() && std::abs(f) <= kLargest),
               where + " holds a number that is not finite, not normal, or larger than 1e24");
    return found;
  }

  std::span<const uint8_t> kept(std::span<const uint8_t> bytes) {
    memory_.emplace_back(bytes.size());
    std::copy(bytes.begin(), bytes.end(), memory_.back().data());
    return memory_.back().bytes();
  }

  const Json& record_;
  std::map<std::string, Tensor>& tensors_;
  std::deque<AlignedBytes>& memory_;
  std::string name_ = "?";
  bool weighted_ = false;
  const Scheme* scheme_ = nullptr;
};

}  // namespace

StoredNode read_node(const Json& record, std::map<std::string, Tensor>& tensors, std::deque<AlignedBytes>& memory) {
  return NodeReader(record, tensors, memory).read();
}

}  // namespace bitwright
