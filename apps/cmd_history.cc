// plan --history: a line for each device of each load.
#include "apps/cmd_history.h"

#include <fmt/format.h>

#include <cctype>
#include <nlohmann/json.hpp>

#include "apps/paths.h"
#include "base/bytes.h"

namespace gantry {

namespace {

using nlohmann::json;

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string bytes_at(const json& object, const char* key) {
  const auto found = object.find(key);
  const bool there = found != object.end() && found->is_number_unsigned();
  return there ? format_bytes(Bytes{found->get<uint64_t>()}) : "-";
}

// "/load_seconds/measured" with so many decimals.
std::string number_at(const json& object, const char* pointer, int decimals) {
  const json::json_pointer at(pointer);
  if (!object.contains(at) || !object.at(at).is_number()) return "-";
  return fmt::format("{:.{}f}", object.at(at).get<double>(), decimals);
}

std::string percent_at(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return "-";
  return fmt::format("{:+.1f} %", found->get<double>() * 100);
}

constexpr const char* kRow =
    "{:<24} {:<20} {:<8} {:>10} {:>10} {:>9} {:>7} {:>7} {:>8} {:>8}  {}\n";

std::string rows_of(const json& load) {
  std::string out;
  const auto devices = load.find("devices");
  if (devices == load.end() || !devices->is_array()) return out;
  bool first = true;
  for (const json& device : *devices) {
    const auto once = [&first](const std::string& text) { return first ? text : std::string(); };
    out += fmt::format(kRow, once(text_at(load, "loaded")), once(text_at(load, "model")),
                       text_at(device, "name"), bytes_at(device, "predicted_bytes"),
                       bytes_at(device, "measured_bytes"), percent_at(device, "error"),
                       once(number_at(load, "/load_seconds/predicted", 2)),
                       once(number_at(load, "/load_seconds/measured", 2)),
                       once(number_at(load, "/decode/predicted", 1)),
                       once(number_at(load, "/decode/measured", 1)),
                       once(text_at(load, "end")));
    first = false;
  }
  return out;
}

}  // namespace

std::string query_value(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '/';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return out;
}

Result<void> show_history(const CliContext& context, const std::vector<std::string>& models) {
  if (models.size() > 1) return fail(Code::kUsage, "--history is of one model, or of all");
  const std::string model = models.empty() ? "" : models.front();
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  std::string target = "/v1/history";
  if (!model.empty()) {
    const bool path = model.find('/') != std::string::npos;
    target += "?model=" + query_value(path ? absolute_path(model) : model);
  }
  Result<json> answer = link->call("GET", target, "");
  if (!answer) return fail(answer.error());
  if (context.json) return print(answer->dump(2) + "\n");
  const auto loads = answer->find("data");
  if (loads == answer->end() || !loads->is_array() || loads->empty()) {
    return print(model.empty() ? "nothing was loaded yet\n" : model + " was not loaded yet\n");
  }
  std::string out = fmt::format(kRow, "loaded", "model", "device", "predicted", "measured", "error",
                                "load s", "seen s", "t/s", "seen t/s", "end");
  for (const json& load : *loads) out += rows_of(load);
  return print(out);
}

}  // namespace gantry
