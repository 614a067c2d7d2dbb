// Reading what anybody may have written.
#include "foreman/lease_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace gantry {

namespace {

using nlohmann::json;

constexpr uint64_t kVersion = 1;
constexpr size_t kTextMax = 256;
constexpr int kDepthMax = 4;
constexpr Bytes kBytesMax = GiB(1 << 20);  // a petabyte: sums of all files stay below 64 bits

Error wrong(const char* field, const std::string& cause) {
  return {Code::kCorrupt, fmt::format("lease: {} {}", field, cause)};
}

Result<std::string> text_of(const json& body, const char* field, bool wanted) {
  const auto value = body.find(field);
  if (value == body.end() && !wanted) return std::string();
  if (value == body.end() || !value->is_string()) return fail(wrong(field, "must be a text"));
  std::string text = value->get<std::string>();
  if (text.size() > kTextMax) return fail(wrong(field, "is too long"));
  if (text.empty() && wanted) return fail(wrong(field, "must not be empty"));
  const bool plain = std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
  if (!plain) return fail(wrong(field, "has characters that are not printed"));
  return text;
}

Result<uint64_t> number_of(const json& body, const char* field, uint64_t most, bool wanted) {
  const auto value = body.find(field);
  if (value == body.end() && !wanted) return uint64_t{0};
  if (value == body.end() || !value->is_number_unsigned() || value->get<uint64_t>() > most) {
    return fail(wrong(field, fmt::format("must be a whole number, at most {}", most)));
  }
  return value->get<uint64_t>();
}

// Deeper texts are refused before a parser recurses into them.
bool is_flat(std::string_view text) {
  int depth = 0;
  for (const char c : text) {
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > kDepthMax) return false;
  }
  return true;
}

}  // namespace

Result<SharedLease> parse_lease(std::string_view text) {
  if (Bytes{text.size()} > kLeaseFileMax) {
    return fail(Code::kTooLarge, "lease: the file is larger than " + format_bytes(kLeaseFileMax));
  }
  const json body = is_flat(text) ? json::parse(text, nullptr, false) : json();
  if (!body.is_object()) return fail(wrong("the file", "is no JSON object"));
  const Result<uint64_t> version = number_of(body, "version", UINT32_MAX, true);
  if (!version) return fail(version.error());
  if (*version != kVersion) return fail(Code::kUnsupported, "lease: of a version not known here");
  SharedLease lease;
  for (const auto& [field, out, wanted] :
       {std::tuple{"device", &lease.device, true}, std::tuple{"boot_id", &lease.boot_id, true},
        std::tuple{"program", &lease.program, true}, std::tuple{"daemon", &lease.daemon, false}}) {
    Result<std::string> read = text_of(body, field, wanted);
    if (!read) return fail(read.error());
    *out = std::move(*read);
  }
  uint64_t pid = 0, uid = 0, token = 0;
  for (const auto& [field, out, most, wanted] :
       {std::tuple{"bytes", &lease.bytes.n, kBytesMax.n, true},
        std::tuple{"pid", &pid, uint64_t{INT32_MAX}, true},
        std::tuple{"start_ticks", &lease.start_ticks, uint64_t{INT64_MAX}, true},
        std::tuple{"uid", &uid, uint64_t{UINT32_MAX}, true},
        std::tuple{"token", &token, uint64_t{INT64_MAX}, false}}) {
    const Result<uint64_t> read = number_of(body, field, most, wanted);
    if (!read) return fail(read.error());
    *out = *read;
  }
  if (pid <= 1) return fail(wrong("pid", "must be the number of a process"));
  lease.pid = static_cast<int>(pid);
  lease.uid = static_cast<uint32_t>(uid);
  lease.token = static_cast<int64_t>(token);
  const auto exclusive = body.find("exclusive");
  if (exclusive != body.end()) {
    if (!exclusive->is_boolean()) return fail(wrong("exclusive", "must be true or false"));
    lease.whole = exclusive->get<bool>();
  }
  return lease;
}

std::string lease_text(const SharedLease& lease) {
  // Names of models are not all printed as they are; here they are for a person.
  const auto plain = [](std::string text) {
    text.resize(std::min(text.size(), kTextMax));
    std::ranges::replace_if(text, [](char c) { return c < ' ' || c > '~'; }, '_');
    return text.empty() ? std::string("_") : text;
  };
  return json{{"version", kVersion},
              {"device", lease.device},
              {"bytes", lease.bytes.n},
              {"exclusive", lease.whole},
              {"pid", lease.pid},
              {"start_ticks", lease.start_ticks},
              {"boot_id", lease.boot_id},
              {"uid", lease.uid},
              {"token", lease.token},
              {"program", plain(lease.program)},
              {"daemon", lease.daemon}}.dump() + "\n";
}

}  // namespace gantry
