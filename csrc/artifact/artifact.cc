#include "artifact/artifact.h"

#include <algorithm>
#include <climits>
#include <set>
#include <stdexcept>

#include "artifact/node.h"
#include "artifact/safetensors.h"
#include "artifact/seal.h"
#include "ops/check.h"

namespace bitwright {
namespace {

constexpr int64_t kFormat = 2;
constexpr size_t kMostNodes = 10'000, kMostInputs = 1 << 18, kMostClasses = 1 << 17;

void expect(bool holds, const std::string& what) {
  if (!holds) throw std::invalid_argument(what);
}

// The members of an object, which are `keys` and, where they are there, `others`.
Json::Object object(const std::optional<Json>& record, const char* where, std::initializer_list<const char*> keys,
                    std::initializer_list<const char*> others = {}) {
  auto members = record.value_or(Json{}).as<Json::Object>();
  expect(members.has_value(), std::string(where) + " must be an object");
  size_t known = 0;
  for (const char* key : keys) expect(record->find(key).has_value(), std::string(where) + ": " + key + " is missing"), ++known;
  for (const char* key : others) known += record->find(key).has_value();
  expect(members->size() == known, std::string(where) + " has a key that is unknown");
  return *members;
}

std::string text(const std::optional<Json>& value, const char* what) {
  expect_part(value.value_or(Json{}));
  auto found = value.value_or(Json{}).as<std::string>();
  expect(found.has_value(), std::string("the graph's ") + what + " must be a name");
  return std::move(*found);
}

class Document {
 public:
  Document(const Json& document, Safetensors& file) : document_(document), tensors_(file.tensors) {
    object(document, "the document", {"format", "graph", "preprocess", "classes", "provenance"});
    auto format = document.find("format")->as<int64_t>();
    expect(format && *format >= 1 && *format <= kFormat, "expected format 1 to 2; newer files need a newer bitwright");
    format_ = *format;
  }

  Artifact read() {
    Artifact found;
    for (const char* part : {"format", "preprocess", "provenance"}) expect_part(*document_.find(part));
    found.pixels = read_preprocess(*document_.find("preprocess"));
    std::initializer_list<const char*> keys = {"output", "values", "nodes"}, more = {"output_name"};
    const Json record = *document_.find("graph");
    if (format_ == 1)
      object(record, "the graph", keys, {"output_name", "others"});
    else
      object(record, "the graph", {"output", "others", "values", "nodes"}, more);
    read_values(*record.find("values"));
    read_nodes(*record.find("nodes"), found.memory);
    expect(tensors_.empty(), "a tensor that no node uses");
    std::vector<std::string> outputs = read_outputs(record);
    check_values();
    build(found, outputs);
    found.graph.encoder = found.pixels.encoder;
    check_image(found.pixels);
    check(found.graph);
    const StoredValue& logits = values_.at(outputs[0]);
    expect(logits.shape.size() == 1, "expected logits of one axis");
    found.outputs = logits.shape[0];
    read_classes(found);
    return found;
  }

 private:
  void read_values(const Json& record) {
    auto members = record.as<Json::Object>();
    expect(members.has_value(), "the graph's values must be an object");
    for (const auto& [name, value] : *members) {
      std::string where = "value '" + name + "'";
      expect(values_.size() <= kMostNodes, "expected a value of each node, and the image, found more");
      expect_part(value);
      if (format_ == 1)
        object(value, where.c_str(), {"shape", "type"}, {"channel"});
      else
        object(value, where.c_str(), {"shape", "type", "channel"});
      StoredValue found{{}, 0, {}};
      for (int64_t d : shape_of(value.find("shape"), where, 1, 1)) found.shape.push_back(static_cast<int>(d));
      if (auto channel = value.find("channel")) {
        auto axis = channel->as<int64_t>();
        bool known = axis && *axis >= 0 && *axis < static_cast<int64_t>(found.shape.size());
        expect(known, where + ": it has no such axis of channels");
        found.channel = static_cast<int>(*axis);
      }
      if (!value.find("type")->is_null())
        found.type = read_type(*value.find("type"), where, found.shape[static_cast<size_t>(found.channel)]);
      values_.emplace(name, std::move(found));
    }
  }

  void read_nodes(const Json& record, std::deque<AlignedBytes>& memory) {
    auto list = record.as<Json::List>();
    expect(list && list->size() <= kMostNodes, "the graph's nodes must be a list of at most 10000");
    size_t inputs = 0;
    for (const Json& node : *list) {
      expect_part(node);
      nodes_.push_back(read_node(node, tensors_, memory));
      inputs += nodes_.back().inputs.size();
      expect(inputs <= kMostInputs, "the graph's nodes read more than 2^18 values");
      const std::string& name = nodes_.back().node.name;
      auto value = values_.find(name);
      bool first = value != values_.end() && computed_.insert(value->first).second;
      expect(first, "node '" + name + "': expected one value of its name");
    }
    for (const auto& [name, value] : values_)
      if (!computed_.contains(name)) inputs_.push_back(name);
    expect(inputs_.size() == 1, "expected one input, the image");
  }

  std::vector<std::string> read_outputs(const Json& record) const {
    std::vector<std::string> found{text(record.find("output"), "output")};
    std::optional<Json> others = record.find("others"), named = record.find("output_name");
    std::string name = named ? text(named, "output_name") : "logits";
    if (others) {
      auto members = others->as<Json::Object>();
      expect(members && !others->find(name), "the other outputs must be an object of other names");
      std::map<std::string, std::string> by_name;
      for (const auto& [key, value] : *members) {
        by_name.emplace(key, text(value, "other outputs"));
        expect(by_name.size() <= kMostNodes, "expected no more outputs than nodes");
      }
      for (auto& [key, value] : by_name) found.push_back(std::move(value));
    }
    for (const std::string& output : found) {
      auto value = values_.find(output);
      expect(value != values_.end() && !value->second.type, "an output must be a value, and float32");
    }
    return found;
  }

  // What the engine does not look at: scales, and which ops read the image's zero points.
  void check_values() const {
    std::set<std::string_view> known(inputs_.begin(), inputs_.end());
    for (const StoredNode& stored : nodes_) {
      const Node& node = stored.node;
      const Fields& fields = fields_of(node.op);
      const StoredValue& out = values_.at(node.name);
      std::string where = "node '" + node.name + "' (" + node.op + "): ";
      expect(!out.type || !out.type->per_channel, where + "only the image has a zero point per channel");
      for (const std::string& input : stored.inputs) {
        expect(known.contains(input), where + "it reads what no earlier node computes");
        const StoredValue& in = values_.at(input);
        expect(in.type || fields.takes_float, where + "its input is float32, expected codes");
        expect(!in.type || !in.type->per_channel || fields.takes_image, where + "its input has a zero point per channel");
        expect(!fields.same_type || in.type == out.type, where + "its input and its result must have one type");
      }
      bool of_second = node.tensors.contains("m_r") || node.tensors.contains("m_x");
      expect(!of_second || stored.inputs.size() > 1, where + "it has multipliers of a second operand, and no such operand");
      auto shape = node.attrs.find("shape");
      expect(shape == node.attrs.end() || shape->second == out.shape, where + "its result has another shape");
      if (auto hi = node.attrs.find("hi"); hi != node.attrs.end() && !out.type)
        expect(node.attrs.at("lo")[0] <= hi->second[0] && hi->second[0] <= 255, where + "expected 0 <= lo <= hi <= 255");
      known.insert(node.name);
    }
  }

  void check_image(const Pixels& pixels) const {
    const StoredValue& image = values_.at(inputs_[0]);
    int planes = pixels.encoder ? pixels.encoder->planes : 1;
    expect(image.channel == 0 && image.shape == std::vector<int>{pixels.channels * planes, pixels.height, pixels.width},
           "the graph's input is not what the preprocessing makes");
    expect(image.type && image.type->per_channel && image.type->scheme->name == (pixels.encoder ? "bit" : "uint8"),
           "expected an input of pixels, or of bits where there is an encoder, with a scale per channel");
  }

  // Reshapes of float32 move nothing, so their results are the values that they read.
  void build(Artifact& to, const std::vector<std::string>& outputs) {
    std::map<std::string_view, int> number;  // of the names of values_
    auto add = [&](const std::string& name) {
      const auto& [key, stored] = *values_.find(name);
      Value value;
      value.shape = stored.shape, value.channel = stored.channel, value.is_float = !stored.type;
      if (stored.type) {
        value.max_code = stored.type->scheme->hi, value.step = stored.type->scheme->step;
        value.zero_points = stored.type->zero_points;
      }
      number[key] = static_cast<int>(to.graph.values.size());
      to.graph.values.push_back(std::move(value));
    };
    add(inputs_[0]);
    to.graph.inputs = {0};
    for (StoredNode& stored : nodes_) {
      const StoredValue& out = values_.at(stored.node.name);
      if (!stored.inputs.empty() && !values_.at(stored.inputs[0]).type) {
        check_float_reshape(stored, out);
        number[values_.find(stored.node.name)->first] = number.at(stored.inputs[0]);
        continue;
      }
      if (!stored.inputs.empty()) simplify(stored, values_.at(stored.inputs[0]), out, to.memory);
      for (const std::string& input : stored.inputs) stored.node.inputs.push_back(number.at(input));
      add(stored.node.name);
      stored.node.output = number.at(stored.node.name);
      to.graph.nodes.push_back(std::move(stored.node));
    }
    for (const std::string& output : outputs) to.graph.outputs.push_back(number.at(output));
  }

  void check_float_reshape(const StoredNode& stored, const StoredValue& out) const {
    auto count = [](const std::vector<int>& shape) {
      int64_t n = 1;
      for (int d : shape) n *= d;
      return n;
    };
    bool fits = stored.inputs.size() == 1 && count(values_.at(stored.inputs[0]).shape) == count(out.shape);
    expect(fits, "node '" + stored.node.name + "': a reshape does not fit its input");
  }

  void read_classes(Artifact& to) const {
    int classes = to.outputs == 1 ? 2 : to.outputs;
    const Json record = *document_.find("classes");
    if (record.is_null()) {
      for (int i = 0; i < classes; ++i) to.classes.push_back(std::to_string(i));
      return;
    }
    auto list = record.as<Json::List>();
    expect(list.has_value(), "class names must be a list of text");
    for (const Json& name : *list) to.classes.push_back(class_name(name, to.classes.size()));
    auto count = static_cast<int>(to.classes.size());
    expect(count == classes || count == to.outputs, "the number of class names is not that of the outputs");
    if (count == 1) to.classes.insert(to.classes.begin(), "not " + to.classes[0]);
  }

  static std::string class_name(const Json& record, size_t before) {
    expect_part(record);
    auto name = record.as<std::string>();
    expect(name && before < kMostClasses, "class names must be a list of text, of 2^17 at most");
    return std::move(*name);
  }

  const Json document_;
  std::map<std::string, Tensor>& tensors_;
  int64_t format_;
  std::map<std::string, StoredValue> values_;
  std::vector<StoredNode> nodes_;
  std::set<std::string_view> computed_;
  std::vector<std::string> inputs_;
};

}  // namespace

Artifact read_artifact(std::span<const uint8_t> file) {
  Safetensors stored = read_safetensors(file);
  Json document = Json::parsed(stored.metadata);
  Document reader(document, stored);
  check_seal(*document.find("provenance"), file, stored.header);
  return reader.read();
}

}  // namespace bitwright
