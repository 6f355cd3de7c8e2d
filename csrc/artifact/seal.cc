#include "artifact/seal.h"

#include <stdexcept>
#include <string>
#include <string_view>

#include "artifact/sha256.h"

namespace bitwright {
namespace {

constexpr size_t kDigits = 64;

void expect(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

}  // namespace

void check_seal(const Json& provenance, std::span<const uint8_t> file, std::span<const uint8_t> header) {
  expect(provenance.as<Json::Object>().has_value(), "the provenance must be an object");
  std::optional<Json> said = provenance.find("sha256");
  if (!said || said->is_null()) return;
  auto digest = said->as<std::string>();
  expect(digest && digest->size() == kDigits, "expected a SHA-256 at the end of the provenance");
  const std::string before = R"(\"sha256\":\")", behind = R"(\"}}")";  // as JSON within JSON spells it
  std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  size_t found = text.npos;  // the last place where a digest stands, whatever it says
  for (size_t at = text.find(before); at != text.npos; at = text.find(before, at + 1)) {
    std::string_view rest = text.substr(at + before.size());
    if (rest.size() < kDigits || rest.substr(0, kDigits).find('"') != rest.npos) continue;
    if (rest.substr(kDigits).starts_with(behind)) found = at;
  }
  bool same = found != text.npos && text.substr(found + before.size(), kDigits) == *digest;
  expect(same, "expected a SHA-256 at the end of the provenance");
  size_t place = static_cast<size_t>(header.data() - file.data()) + found + before.size();
  Sha256 sum;
  sum.add(file.first(place));
  const std::string blank(kDigits, '0');
  sum.add({reinterpret_cast<const uint8_t*>(blank.data()), kDigits});
  sum.add(file.subspan(place + kDigits));
  expect(sum.hex() == *digest, "the file has changed since it was written: its contents have another SHA-256");
}

}  // namespace bitwright
