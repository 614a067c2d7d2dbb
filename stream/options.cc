// Options of the streamer: names, presets, environment and file.
#include "stream/options.h"

#include <array>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

namespace gantry {
namespace {

constexpr size_t kOptionFileMax = 64 << 10;

struct PresetRow {
  std::string_view name;
  Preset preset;
  uint32_t layers;  // of kPresetDepth
};
// The aliases are what a 28-layer model of 8-bit weights leaves room for on such cards.
constexpr std::array<PresetRow, 12> kPresets = {{
    {"auto", Preset::kAuto, kPresetDepth},
    {"whole", Preset::kWhole, kPresetDepth},
    {"light", Preset::kLight, 20},
    {"moderate", Preset::kModerate, 16},
    {"balanced", Preset::kBalanced, 12},
    {"aggressive", Preset::kAggressive, 8},
    {"extreme", Preset::kExtreme, 4},
    {"workstation", Preset::kLight, 20},
    {"high_end", Preset::kModerate, 16},
    {"consumer", Preset::kBalanced, 12},
    {"budget", Preset::kAggressive, 8},
    {"minimal", Preset::kExtreme, 4},
}};

constexpr std::array<std::string_view, 15> kNames = {
    "inner",     "preset", "resident", "device_budget", "host_budget", "ring",    "experts",
    "placement", "io",     "exact",    "stats",         "trace",       "summary",
    "kv",        "config"};

std::string variable(std::string_view name) {
  std::string text = "GANTRY_STREAM_";
  for (const char c : name) text += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return text;
}

tl::unexpected<Error> refuse(std::string_view name, const std::string& value,
                             std::string_view wanted) {
  return fail(Code::kUsage, variable(name) + " is \"" + value + "\"", "use " + std::string(wanted));
}

Result<bool> parse_switch(std::string_view name, const std::string& value) {
  if (value == "1" || value == "on" || value == "true") return true;
  if (value == "0" || value == "off" || value == "false") return false;
  return refuse(name, value, "0 or 1");
}

Result<std::optional<Bytes>> parse_size(const OptionSource& source, const std::string& name) {
  const auto value = source(name);
  if (!value) return std::nullopt;
  if (*value == "0") return Bytes{0};
  const auto bytes = parse_bytes(*value);
  if (!bytes) return refuse(name, *value, "bytes such as 512MiB");
  return *bytes;
}

Result<void> parse_choices(const OptionSource& source, StreamOptions& options) {
  if (const auto value = source("preset")) {
    const auto preset = preset_from_name(*value);
    if (!preset) return refuse("preset", *value, "auto, whole, light, moderate, balanced, "
                                                 "aggressive or extreme");
    options.preset = *preset;
  }
  if (const auto value = source("placement")) {
    if (*value != "tail" && *value != "interleave") {
      return refuse("placement", *value, "tail or interleave");
    }
    options.order = *value == "tail" ? LayerOrder::kTail : LayerOrder::kInterleave;
  }
  if (const auto value = source("kv")) {
    if (*value != "device" && *value != "host") return refuse("kv", *value, "device or host");
    options.kv = *value == "host" ? CacheHome::kHost : CacheHome::kDevice;
  }
  if (const auto value = source("io")) {
    if (*value != "auto" && *value != "uring" && *value != "threads") {
      return refuse("io", *value, "auto, uring or threads");
    }
    options.io = *value == "auto"    ? ReaderKind::kAuto
                 : *value == "uring" ? ReaderKind::kUring
                                     : ReaderKind::kThreads;
  }
  return {};
}

Result<void> parse_sizes(const OptionSource& source, StreamOptions& options) {
  if (const auto value = source("resident")) {
    uint32_t layers = 0;
    const auto [end, error] =
        std::from_chars(value->data(), value->data() + value->size(), layers);
    if (error != std::errc() || end != value->data() + value->size()) {
      return refuse("resident", *value, "a number of layers");
    }
    options.resident_layers = layers;
  }
  if (const auto value = source("device_budget")) {
    const auto budget = parse_budget(*value);
    if (!budget) return refuse("device_budget", *value, "bytes such as 6GiB, or 80%");
    options.device_budget = *budget;
  }
  const auto host = parse_size(source, "host_budget");
  if (!host) return fail(host.error());
  const auto ring = parse_size(source, "ring");
  if (!ring) return fail(ring.error());
  const auto experts = parse_size(source, "experts");
  if (!experts) return fail(experts.error());
  options.host_budget = *host;
  options.ring = *ring;
  options.experts = *experts;
  return {};
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace

std::optional<Preset> preset_from_name(std::string_view name) {
  for (const auto& row : kPresets) {
    if (row.name == name) return row.preset;
  }
  return std::nullopt;
}

std::string_view preset_name(Preset preset) {
  for (const auto& row : kPresets) {
    if (row.preset == preset) return row.name;
  }
  return "auto";
}

uint32_t preset_layers(Preset preset, uint32_t depth) {
  for (const auto& row : kPresets) {
    if (row.preset != preset) continue;
    return (depth * row.layers + kPresetDepth / 2) / kPresetDepth;
  }
  return depth;
}

Result<StreamOptions> parse_options(const OptionSource& source) {
  StreamOptions options;
  options.inner = source("inner").value_or("");
  options.stats_file = source("stats").value_or("");
  options.trace_file = source("trace").value_or("");
  if (const auto ok = parse_choices(source, options); !ok) return fail(ok.error());
  if (const auto ok = parse_sizes(source, options); !ok) return fail(ok.error());
  if (const auto value = source("summary")) {
    const auto on = parse_switch("summary", *value);
    if (!on) return fail(on.error());
    options.summary = *on;
  }
  if (const auto value = source("exact")) {
    const auto on = parse_switch("exact", *value);
    if (!on) return fail(on.error());
    options.exact = *on;
  }
  return options;
}

Result<OptionSource> parse_option_file(std::string_view text) {
  std::map<std::string, std::string> values;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); number++) {
    const auto body = trimmed(std::string_view(line).substr(0, line.find('#')));
    if (body.empty()) continue;
    const auto where = "line " + std::to_string(number) + " of the streaming configuration";
    const auto equals = body.find('=');
    if (equals == std::string_view::npos) {
      return fail(Code::kUsage, where + " has no \"=\"", "write lines such as preset = balanced");
    }
    const std::string key{trimmed(body.substr(0, equals))};
    bool known = false;
    for (const auto name : kNames) known = known || (name == key && name != "config");
    if (!known) return fail(Code::kUsage, where + " names \"" + key + "\", which is no option");
    values[key] = std::string(trimmed(body.substr(equals + 1)));
  }
  return [values](const std::string& name) -> std::optional<std::string> {
    const auto at = values.find(name);
    return at == values.end() ? std::nullopt : std::make_optional(at->second);
  };
}

Result<StreamOptions> options_from_environment() {
  const auto environment = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(variable(name).c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
  const auto path = environment("config");
  if (!path) return parse_options(environment);
  std::ifstream file(*path, std::ios::binary);
  std::string text(kOptionFileMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (!file.is_open() || file.bad()) {
    return fail(Code::kNotFound, "cannot read \"" + *path + "\"", "GANTRY_STREAM_CONFIG names it");
  }
  if (text.size() > kOptionFileMax) {
    return fail(Code::kTooLarge, "\"" + *path + "\" is over 64 KiB");
  }
  const auto lines = parse_option_file(text);
  if (!lines) return fail(lines.error());
  return parse_options([&](const std::string& name) {
    const auto value = environment(name);
    return value ? value : (*lines)(name);
  });
}

}  // namespace gantry
