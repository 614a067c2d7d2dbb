// doctor: what keeps an NPU or a card from being used, and what to do about it.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/paths.h"
#include "audit/doctor.h"

namespace gantry {

namespace {

constexpr Millis kListMax{60'000};  // plugins that look for devices may take seconds
constexpr Bytes kListBytesMax = KiB(64);

// OpenVINO is loaded in a process of its own: a driver that crashes ends that one.
Result<std::vector<std::string>> openvino_devices(Os& os) {
  ProcessSpec spec;
  spec.argv = {sibling_program(os, "gantry-npu"), "--devices"};
  spec.pipe_io = true;
  Result<std::unique_ptr<Process>> process = os.spawn(spec);
  if (!process) return fail(process.error());
  const Result<std::string> line = (*process)->read_line(kListMax, kListBytesMax);
  if (!line) return fail(line.error());
  const nlohmann::json list = nlohmann::json::parse(*line, nullptr, false);
  std::vector<std::string> names;
  for (const nlohmann::json& one : list) {
    const auto name = one.find("name");
    if (name != one.end() && name->is_string()) names.push_back(*name);
  }
  if (names.empty()) return fail(Code::kWorkerFailed, "it lists no device");
  return names;
}

Result<void> examine(const CliContext& context) {
  Result<Config> config = context.read_config();
  if (!config) return fail(config.error());
  Result<Machine> machine = context.audited(*config);
  if (!machine) return fail(machine.error());
  DoctorFacts facts;
  facts.devices = machine->devices;
  facts.may_use = [](const std::string& path) { return ::access(path.c_str(), R_OK | W_OK) == 0; };
  Result<std::vector<std::string>> openvino = openvino_devices(context.os);
  if (openvino) {
    facts.openvino = std::move(*openvino);
  } else {
    facts.openvino_fault = describe(openvino.error());
  }
  const std::vector<Finding> findings = diagnose(context.os, facts);
  Result<void> shown =
      print(context.json ? findings_json(findings).dump(2) + "\n" : findings_text(findings));
  if (!shown || healthy(findings)) return shown;
  return fail(Code::kUnavailable, "something keeps a device from being used",
              "do what the lines above say");
}

}  // namespace

void add_doctor(CLI::App& app, CliContext& context) {
  CLI::App* command =
      app.add_subcommand("doctor", "What keeps an NPU or a card from being used, and the remedy");
  command->add_flag("--json", context.json, "Machine-readable");
  command->footer(
      "Examples:\n"
      "  gantry doctor           driver, firmware, node, permission, libraries, OpenVINO\n"
      "  gantry doctor --json    {\"healthy\", \"findings\": [...]}\n"
      "Exit status 0 when nothing needs attention, 4 otherwise.");
  command->callback([&context] {
    context.work = [&context] { return context.finish(examine(context)); };
  });
}

}  // namespace gantry
