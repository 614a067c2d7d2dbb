// From a placement to flags, and from the answer to needs.
#include "foreman/engine_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "foreman/ask_worker.h"
#include "worker/llama.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr const char* kHostDevice = "cpu";
constexpr const char* kPluginVariable = "GGML_BACKEND_PATH";
// No machine has more; sums stay in 64 bits.
constexpr uint64_t kBytesMost = uint64_t{1} << 50;

tl::unexpected<Error> strange(const std::string& what) {
  return fail(Code::kInternal, "the engine's answer is not understood: " + what,
              "gantry and gantry-worker must be of one version");
}

Result<Bytes> bytes_in(const json& row, const char* key, bool needed) {
  const auto found = row.find(key);
  if (found == row.end() && !needed) return Bytes{};
  if (found == row.end() || !found->is_number_integer()) return strange(key);
  if (!found->is_number_unsigned() && found->get<int64_t>() < 0) return strange(key);
  const auto bytes = found->get<uint64_t>();
  if (bytes > kBytesMost) return strange(std::string(key) + " is beyond every machine");
  return Bytes{bytes};
}

Result<Need> need_of(const json& row, const std::string& device) {
  if (!row.is_object()) return strange(device);
  Need need;
  need.device = device;
  for (const auto& [key, bytes, needed] :
       {std::tuple{"model", &need.weights, true}, {"mmproj", &need.weights, false},
        {"context", &need.kv, true}, {"compute", &need.compute, true},
        {"mmproj_compute", &need.compute, false}}) {
    const Result<Bytes> read = bytes_in(row, key, needed);
    if (!read) return fail(read.error());
    *bytes += *read;
  }
  return need;
}

}  // namespace

std::vector<std::string> dry_run_flags(Os& os, const WorkerSpec& spec) {
  std::vector<std::string> flags = llama_memory_argv(spec);
  std::string plugin = os.env(kPluginVariable).value_or("");
  for (const auto& [name, value] : spec.env) {
    if (name == kPluginVariable) plugin = value;
  }
  if (!plugin.empty()) flags.insert(flags.end(), {"--plugin", plugin});
  return flags;
}

Result<std::vector<Need>> needs_of_answer(const json& answer, const WorkerSpec& spec) {
  if (!answer.is_object()) return strange("it is no object");
  const std::vector<Split>& splits = spec.placement.splits;
  std::vector<Need> needs;
  const auto devices = answer.find("devices");
  if (devices == answer.end() || !devices->is_array()) return strange("devices");
  if (devices->size() != splits.size() || spec.devices.size() != splits.size()) {
    return strange(fmt::format("{} devices instead of {}", devices->size(), splits.size()));
  }
  for (size_t i = 0; i < splits.size(); ++i) {
    const auto row = std::ranges::find_if(*devices, [&](const json& one) {
      return one.is_object() && one.value("name", json()) == spec.devices[i];
    });
    if (row == devices->end()) return strange("nothing of " + spec.devices[i]);
    Result<Need> need = need_of(*row, splits[i].device);
    if (!need) return fail(need.error());
    needs.push_back(std::move(*need));
  }
  const auto host = answer.find("host");
  if (host == answer.end()) return strange("host");
  Result<Need> need = need_of(*host, kHostDevice);
  if (!need) return fail(need.error());
  needs.push_back(std::move(*need));
  Bytes weights;
  for (const Need& one : needs) weights += one.weights;
  if (weights == Bytes{}) return strange("a model without weights");
  return needs;
}

EngineProbe engine_probe(Os& os, const std::string& worker_exe, const std::string& engine_dir,
                         const std::string& scratch) {
  return [&os, worker_exe, engine_dir, scratch](const WorkerSpec& spec) -> Result<json> {
    if (spec.engine != EngineKind::kLlama || spec.placement.stream) {
      return fail(Code::kUnsupported, spec.model + " is none that the engine can be asked about");
    }
    WorkerAsk ask{{worker_exe, "--engines", engine_dir, "dry-run"}, spec.env,
                  error_file(scratch, "dry-run"), kEngineProbeMax};
    const std::vector<std::string> flags = dry_run_flags(os, spec);
    ask.argv.insert(ask.argv.end(), flags.begin(), flags.end());
    Result<WorkerAnswer> answer = ask_worker(os, ask);
    if (!answer) return fail(answer.error());
    if (answer->late) {
      return fail(Code::kTimeout, fmt::format("the engine did not say within {} s",
                                              kEngineProbeMax.count() / 1000));
    }
    if (!answer->line) {
      return fail(Code::kWorkerFailed, answer->words.empty()
                                           ? "the engine's dry run ended: " + answer->end
                                           : answer->words);
    }
    json parsed = json::parse(*answer->line, nullptr, false);
    if (!parsed.is_object()) return strange("it is not JSON");
    return parsed;
  };
}

}  // namespace gantry
