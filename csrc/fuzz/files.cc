#include "fuzz/files.h"

#include <algorithm>

#include "artifact/sha256.h"

namespace bitwright::fuzz {
namespace {

using Text = std::string;

Text quoted(const Text& text) {
  Text found = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') found += '\\';
    found += c;
  }
  return found + '"';
}

Text listed(const std::vector<Text>& items) {
  Text found;
  for (const Text& item : items) found += (found.empty() ? "" : ",") + item;
  return "[" + found + "]";
}

struct Encoding {
  Text spelling;
  int planes;
};

struct Packing {
  Text scheme;
  int width;  // 0: five ternary codes to a byte
};

class Maker {
 public:
  explicit Maker(Choices& choices) : choose_(choices), noise_(static_cast<uint64_t>(choices.below(1 << 16))) {}

  File file() {
    channels_ = choose_.one_in(3) ? 3 : 1;
    std::vector<Encoding> encodings(4, {"", 1});  // most pictures are read as they are
    encodings.insert(encodings.end(),
                     {{"threshold", 1}, {"threshold:otsu", 1}, {"threshold:77", 1}, {"dither", 1}, {"bitplanes", 8}});
    encodings.insert(encodings.end(),
                     {{"bitplanes:3", 3}, {"thermometer:5", 5}, {"levels:0.5:1.0,2.0:" + base64() + ":of", 2}});
    encodings.insert(encodings.end(),
                     {{"levels:1e-05:1e+16,0.001:" + base64() + ":a:b", 2}, {"levels:-12.5:123.25,3.0:" + base64() + ":", 2}});
    encoding_ = choose_.of(encodings);
    first_format_ = choose_.one_in(4);
    graph();
    found_.document = "{" + space() + "\"format\":" + (first_format_ ? "1" : "2") + ",\"graph\":" + graph_ +
                      ",\"preprocess\":" + preprocess() + ",\"classes\":" + classes() + ",\"provenance\":" + provenance() + "}";
    return std::move(found_);
  }

 private:
  Text one_of(const std::vector<Text>& all) { return choose_.of(all); }
  Text space() { return one_of({"", "", "", " ", "\n\t ", "\r\n"}); }

  // The bits of 256 levels on two planes.
  Text base64() {
    Text found;
    for (int i = 0; i < 85; ++i) found += "AQgw5/+f"[noise_.next() % 8];
    return found + "A==";
  }

  void tensor(const Text& name, const Text& type, const std::vector<int>& shape, const std::vector<uint8_t>& bytes) {
    std::vector<Text> sizes;
    for (int d : shape) sizes.push_back(std::to_string(d));
    size_t begin = found_.body.size();
    found_.body.insert(found_.body.end(), bytes.begin(), bytes.end());
    found_.entries += "," + quoted(name) + ":{\"dtype\":\"" + type + "\",\"shape\":" + listed(sizes) + ",\"data_offsets\":[" +
                      std::to_string(begin) + "," + std::to_string(found_.body.size()) + "]}";
  }
  void floats(const Text& name, int count) {
    std::vector<uint8_t> bytes(static_cast<size_t>(4 * count));
    for (int i = 0; i < count; ++i) {
      float number = noise_.uniform(-1, 1);
      std::copy_n(reinterpret_cast<const uint8_t*>(&number), 4, bytes.data() + 4 * i);
    }
    tensor(name, "F32", {count}, bytes);
  }
  // Codes 0 and 1, of ternary weights 2 for -1 as well.
  void weights(const Text& name, const Packing& packing, int count) {
    int each = packing.width ? packing.width : 5;
    int bytes = packing.width ? (count * each + 7) / 8 : (count + 4) / 5;
    std::vector<uint8_t> packed(static_cast<size_t>(bytes));
    for (int i = 0, power = 1; i < count; ++i, power = i % 5 ? power * 3 : 1) {
      int code = static_cast<int>(noise_.next() % (packing.width ? 2 : 3));
      int at = packing.width ? i * each / 8 : i / 5;
      packed[static_cast<size_t>(at)] += static_cast<uint8_t>(packing.width ? code << i * each % 8 : code * power);
    }
    tensor(name, "U8", {bytes}, packed);
  }
  Packing packing() {
    return choose_.of<Packing>(
        {{"int8", 8}, {"int7", 7}, {"int4", 4}, {"int3", 3}, {"int2", 2}, {"ternary", 0}, {"binary", 1}, {"bit", 1}});
  }

  Text channel() { return first_format_ && choose_.one_in(2) ? "" : ",\"channel\":0"; }
  void value(const Text& name, const std::vector<int>& shape, const Text& type) {
    std::vector<Text> sizes;
    for (int d : shape) sizes.push_back(std::to_string(d));
    values_ +=
        (values_.empty() ? "" : ",") + quoted(name) + ":{\"shape\":" + listed(sizes) + ",\"type\":" + type + channel() + "}";
  }
  void node(const Text& name, const Text& op, const Text& input, const Text& attrs, const Text& tensors) {
    nodes_.push_back("{\"name\":" + quoted(name) + ",\"op\":\"" + op + "\",\"inputs\":[" + quoted(input) + "],\"attrs\":{" +
                     attrs + "},\"tensors\":{" + tensors +
                     "},\"origin\":" + one_of({"\"\"", "\"a.b\"", "\"\\u00e9\\ud83d\\ude00\\n\""}) + "}");
  }

  void graph() {
    int planes = channels_ * encoding_.planes;
    auto each = [&](const Text& number) { return listed(std::vector<Text>(static_cast<size_t>(planes), number)); };
    Text zero = encoding_.spelling.empty() ? "120" : "0", scheme = encoding_.spelling.empty() ? "uint8" : "bit";
    value("image", {planes, 4, 4},
          "{\"scheme\":\"" + scheme + "\",\"scale\":" + each("0.02") + ",\"zero_point\":" + each(zero) +
              ",\"offset\":" + each(one_of({"0.0", "0", "-0.5", "1e-3"})) + "}");
    Packing kernel = packing(), head = packing();
    Text codes = "{\"scheme\":\"uint8\",\"scale\":" + one_of({"0.02", "1", "2e-2", "1E+2"}) + ",\"zero_point\":128}";
    Text bent = "{\"scheme\":\"uint4\",\"scale\":0.5,\"zero_point\":7}";
    value("conv", {2, 4, 4}, codes), value("bend", {2, 4, 4}, bent), value("cut", {2, 4, 2}, bent), value("line", {16}, bent);
    bool reshaped = choose_.one_in(4);
    outputs_ = choose_.one_in(4) ? 1 : 2;
    value("fc", {outputs_}, "null");
    node("conv", "conv2d", "image",
         "\"stride\":[1,1],\"padding\":[1,1,1,1],\"dilation\":[1,1],\"groups\":1,\"weights\":\"" + kernel.scheme +
             "\",\"lo\":3,\"hi\":255",
         "\"b\":[2],\"m\":[2],\"weight\":[2," + std::to_string(planes) + ",3,3]");
    node("bend", "prelu", "conv", "", "\"after\":[2],\"before\":[2],\"slope\":[2]");
    node("cut", "slice", "bend", "\"axis\":2,\"start\":0,\"stop\":4,\"step\":2", "");
    node("line", "reshape", "cut", "\"shape\":[16]", "");
    Text rows = std::to_string(outputs_);
    node("fc", "linear", "line", "\"weights\":\"" + head.scheme + "\",\"lo\":0,\"hi\":255",
         "\"b\":[" + rows + "],\"m\":[" + rows + "],\"weight\":[" + rows + ",16]");
    if (reshaped) value("same", {outputs_}, "null"), node("same", "reshape", "fc", "\"shape\":[" + rows + "]", "");
    if (choose_.one_in(4)) {  // an op whose attribute is a list of pairs, and which nobody reads
      value("wide", {18}, bent), node("wide", "pad", "line", "\"padding\":[[1,1]]", "");
    }
    for (const char* key : {"b", "m"}) floats(Text("conv/") + key, 2), floats(Text("fc/") + key, outputs_);
    for (const char* key : {"after", "before", "slope"}) floats(Text("bend/") + key, 2);
    weights("conv/weight", kernel, 2 * planes * 9), weights("fc/weight", head, outputs_ * 16);
    Text others = choose_.one_in(3) ? "\"features\":\"fc\"" : "", output = reshaped ? "same" : "fc";
    graph_ = "{\"output\":\"" + output + "\"," + (first_format_ && others.empty() ? "" : "\"others\":{" + others + "},") +
             (choose_.one_in(4) ? "\"output_name\":\"scores\"," : "") + "\"values\":{" + values_ +
             "},\"nodes\":" + listed(nodes_) + "}";
  }

  Text preprocess() {
    auto each = [&](const Text& number) { return listed(std::vector<Text>(static_cast<size_t>(channels_), number)); };
    Text encoder = encoding_.spelling.empty() ? "" : ",\"encoder\":" + quoted(encoding_.spelling);
    return "{\"size\":[4,4],\"resize\":" + one_of({"null", "5", "[4,6]"}) + ",\"mean\":" + each("0.5") +
           ",\"std\":" + each("1") + ",\"scale\":" + one_of({"0.0039", "1"}) + ",\"mode\":\"" +
           (channels_ == 1 ? "L" : one_of({"RGB", "BGR"})) + "\",\"interpolation\":\"" + one_of({"bilinear", "lanczos"}) +
           "\",\"background\":[255,0,255]" + encoder + "}";
  }

  Text classes() {
    if (choose_.one_in(3)) return "null";
    if (outputs_ == 1 && choose_.one_in(2)) return "[\"cat\"]";
    return one_of({"[\"cat\",\"dog\"]", "[ \"\\u732b\" , \"\\ud83d\\udc36\\t\\/\" ]", "[\"\",\"\\u00fc\"]"});
  }

  Text provenance() {
    found_.sealed = choose_.one_in(3);
    Text told =
        one_of({"", "\"recipe\":\"w4a8\"", "\"a\":[1.5,-0,1e-400,true,false,null,{},[[]]]", "\"n\":123456789012345678901"});
    if (!found_.sealed) return "{" + told + "}";
    return "{" + told + (told.empty() ? "" : ",") + "\"sha256\":\"" + Text(64, '0') + "\"}";
  }

  Choices& choose_;
  Noise noise_;
  File found_;
  int channels_ = 1, outputs_ = 2;
  Encoding encoding_;
  bool first_format_ = false;
  Text values_, graph_;
  std::vector<Text> nodes_;
};

}  // namespace

File make_file(Choices& choices) { return Maker(choices).file(); }

std::vector<uint8_t> bytes_of(const File& file) {
  Text header = "{\"__metadata__\":{\"bitwright\":" + quoted(file.document) + "}" + file.entries + "}";
  std::vector<uint8_t> bytes(8);
  for (int i = 0; i < 8; ++i)
    bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(static_cast<uint64_t>(header.size()) >> 8 * i);
  bytes.insert(bytes.end(), header.begin(), header.end());
  bytes.insert(bytes.end(), file.body.begin(), file.body.end());
  size_t place = header.rfind(Text(64, '0'));
  if (file.sealed && place != header.npos) {
    Sha256 sum;
    sum.add(bytes);
    Text digest = sum.hex();
    std::copy(digest.begin(), digest.end(), bytes.begin() + 8 + static_cast<std::ptrdiff_t>(place));
  }
  return bytes;
}

}  // namespace bitwright::fuzz
