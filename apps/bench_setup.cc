// Names to settings, settings to bytes.
#include "apps/bench_setup.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "stream/residency.h"

namespace gantry {

namespace {

constexpr std::array<std::string_view, 10> kStreamOptions = {
    "preset", "resident",  "device_budget", "host_budget", "ring",
    "placement", "experts", "io",           "exact",       "inner"};
constexpr const char* kWords =
    "a preset (auto, whole, light, moderate, balanced, aggressive, extreme), no-offload, cpu, "
    "mmap, or settings such as resident=8,placement=tail";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(separator, start), text.size());
    out.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return out;
}

Result<int> parse_layers(std::string_view value) {
  int layers = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), layers);
  if (error == std::errc() && end == value.data() + value.size() && layers >= -1 &&
      layers <= static_cast<int>(kLayersMax)) {
    return layers;
  }
  return fail(Code::kUsage, "\"" + std::string(value) + "\" is no number of layers",
              "give 0 to " + std::to_string(kLayersMax));
}

Result<void> apply_setting(std::string_view setting, BenchSetup* setup, bool* streams) {
  const size_t equals = setting.find('=');
  const std::string key(setting.substr(0, equals)), value(setting.substr(equals + 1));
  if (value.empty()) return fail(Code::kUsage, key + " has no value", "write " + key + "=VALUE");
  if (std::ranges::find(kStreamOptions, key) != kStreamOptions.end()) {
    if (key == "resident") {
      if (const Result<int> layers = parse_layers(value); !layers) return fail(layers.error());
    }
    setup->options.emplace_back(key, value);
    *streams = true;
  } else if (key == "ngl") {
    const Result<int> layers = parse_layers(value);
    if (!layers) return fail(layers.error());
    setup->gpu_layers = *layers;
  } else if (key == "load_mode") {
    setup->load_mode = value;
  } else if (key == "repack") {
    if (value != "0" && value != "1") return fail(Code::kUsage, "repack is " + value, "0 or 1");
    setup->repack = value == "1";
  } else {
    return fail(Code::kUsage, "unknown setting " + key,
                "preset, resident, device_budget, host_budget, ring, placement, experts, io, "
                "exact, inner; ngl, load_mode, repack");
  }
  return {};
}

Result<BenchSetup> parse_settings(std::string_view text, BenchSetup setup) {
  bool streams = false;
  for (const std::string_view setting : split(text, ',')) {
    if (setting.find('=') == std::string_view::npos) {
      return fail(Code::kUsage, "unknown configuration \"" + std::string(setting) + "\"", kWords);
    }
    if (Result<void> done = apply_setting(setting, &setup, &streams); !done) {
      return fail(done.error());
    }
  }
  setup.stream = streams;
  if (streams && setup.gpu_layers != -1) {
    return fail(Code::kUsage, "ngl is llama.cpp's own split, without the streamer",
                "say resident=" + std::to_string(setup.gpu_layers) + " instead");
  }
  return setup;
}

uint64_t output_bytes(const ModelCard& card) {
  const Bytes own = card.bytes_in(Part::kOutput);
  // Tied: the embedding serves as output matrix too, and is on the device once more for that.
  return own.n > kSmallWeight ? own.n : own.n + card.bytes_in(Part::kEmbedding).n;
}

// The card knows layers, not tensors: each is taken as four equal pieces, near enough to q,k,v | o
// | gate,up | down for the size of a ring.
ResidencyAsk ask_of(const ModelCard& card, LayerOrder order) {
  ResidencyAsk ask;
  ask.layers = card.layers;
  ask.order = order;
  constexpr uint64_t kPieces = 4;
  for (const TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer || group.layer < 0) continue;
    const auto layer = static_cast<uint32_t>(group.layer);
    const uint64_t dense = (group.bytes - group.expert_bytes).n;
    for (uint64_t i = 0; i < kPieces; ++i) ask.weights.push_back({"", layer, dense / kPieces});
    if (group.expert_bytes.n > 0) ask.weights.push_back({"", layer, group.expert_bytes.n, true});
  }
  ask.weights.push_back({"", card.layers, output_bytes(card)});
  return ask;
}

}  // namespace

Result<BenchSetup> parse_setup(std::string_view text) {
  BenchSetup setup;
  setup.name = text;
  if (text == "no-offload" || text == "baseline") {
    setup.stream = false;
    return setup;
  }
  if (text == "cpu" || text == "mmap") {
    setup.stream = false;
    setup.gpu_layers = 0;
    if (text == "mmap") setup.load_mode = "mmap";
    return setup;
  }
  if (preset_from_name(text)) {
    setup.options.emplace_back("preset", text);
    return setup;
  }
  if (text.empty()) return fail(Code::kUsage, "an empty configuration", kWords);
  return parse_settings(text, std::move(setup));
}

std::vector<std::pair<std::string, std::string>> stream_environment(const BenchSetup& setup) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [key, value] : setup.options) {
    std::string name = "GANTRY_STREAM_" + key;
    std::ranges::transform(name, name.begin(), [](unsigned char c) {
      return static_cast<char>(std::toupper(c));
    });
    out.emplace_back(std::move(name), value);
  }
  return out;
}

bool is_preset(std::string_view name) { return preset_from_name(name).has_value(); }

Result<std::vector<PresetRow>> preset_table(const ModelCard& card, Spread spread,
                                            Bytes kv_compute) {
  if (card.layers == 0) {
    return fail(Code::kUnsupported, "the model has no layers to place", "give a language model");
  }
  const LayerOrder order = spread == Spread::kTail ? LayerOrder::kTail : LayerOrder::kInterleave;
  std::vector<PresetRow> rows;
  for (const Preset preset : {Preset::kWhole, Preset::kLight, Preset::kModerate, Preset::kBalanced,
                              Preset::kAggressive, Preset::kExtreme}) {
    ResidencyAsk ask = ask_of(card, order);
    ask.resident_layers = preset_layers(preset, card.layers);
    const Result<Residency> chosen = choose_residency(ask);
    if (!chosen) return fail(chosen.error());
    PresetRow row;
    row.preset = preset == Preset::kWhole ? "baseline" : std::string(preset_name(preset));
    row.resident_layers = *ask.resident_layers;
    row.layers = card.layers;
    row.resident = {chosen->resident_bytes};
    row.ring = {chosen->ring + chosen->experts};
    for (size_t i = 0; i < ask.weights.size(); ++i) {
      if (!chosen->resident[i]) row.streamed += {ask.weights[i].bytes};
    }
    row.total = row.resident + row.ring + kv_compute;
    rows.push_back(std::move(row));
  }
  return rows;
}

std::optional<double> predicted_decode(const PresetRow& row, std::optional<double> memory_per_s,
                                       std::optional<double> arrival_per_s) {
  const bool streams = row.streamed.n > 0;
  if (!memory_per_s || *memory_per_s <= 0) return std::nullopt;
  if (streams && (!arrival_per_s || *arrival_per_s <= 0)) return std::nullopt;
  const double compute =
      static_cast<double>((row.resident + row.streamed).n) / *memory_per_s;
  const double arrive = streams ? static_cast<double>(row.streamed.n) / *arrival_per_s : 0;
  const double seconds = std::max(compute, arrive);
  return seconds > 0 ? std::optional(1 / seconds) : std::nullopt;
}

}  // namespace gantry
