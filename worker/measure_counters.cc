// Parses /proc and subtracts.
#include "worker/measure_counters.h"

#include <array>
#include <charconv>
#include <fstream>
#include <iterator>

namespace gantry {

namespace {

// Sizes and plans: they describe a moment, not what happened since.
constexpr std::array<std::string_view, 8> kStanding = {
    "resident_bytes", "ring_bytes",   "host_bytes", "expert_cache_bytes", "kv_compute_bytes",
    "budget_bytes",   "layers",       "layers_streamed"};

std::optional<uint64_t> number_after(std::string_view text, std::string_view name) {
  for (size_t at = 0; (at = text.find(name, at)) != std::string_view::npos; at += name.size()) {
    const bool starts_line = at == 0 || text[at - 1] == '\n';
    std::string_view rest = text.substr(at + name.size());
    if (!starts_line || !rest.starts_with(':')) continue;
    rest.remove_prefix(1);
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc()) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

std::string slurp_proc(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

std::optional<uint64_t> status_field(std::string_view status, std::string_view name) {
  const std::optional<uint64_t> kib = number_after(status, name);
  if (!kib) return std::nullopt;
  return *kib << 10;
}

std::optional<uint64_t> io_field(std::string_view io, std::string_view name) {
  return number_after(io, name);
}

nlohmann::json own_memory() {
  const std::string status = slurp_proc("/proc/self/status");
  const auto field = [&status](std::string_view name) {
    const std::optional<uint64_t> bytes = status_field(status, name);
    return bytes ? nlohmann::json(*bytes) : nlohmann::json();
  };
  return {{"peak_rss_bytes", field("VmHWM")},
          {"anonymous_bytes", field("RssAnon")},
          {"file_bytes", field("RssFile")}};
}

std::optional<uint64_t> own_read_bytes() {
  return io_field(slurp_proc("/proc/self/io"), "read_bytes");
}

nlohmann::json counted(const nlohmann::json& before, const nlohmann::json& after) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [key, value] : after.items()) {
    const bool standing =
        std::find(kStanding.begin(), kStanding.end(), key) != kStanding.end();
    if (!value.is_number() || standing) continue;
    const auto was = before.find(key);
    const bool known = was != before.end() && was->is_number();
    if (value.is_number_float()) {
      out[key] = value.get<double>() - (known ? was->get<double>() : 0.0);
    } else {
      const uint64_t now = value.get<uint64_t>(), then = known ? was->get<uint64_t>() : 0;
      out[key] = now > then ? now - then : 0;
    }
  }
  return out;
}

}  // namespace gantry
