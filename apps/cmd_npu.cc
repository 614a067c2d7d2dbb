// npu-worker: becomes gantry-npu, the only program that loads OpenVINO.
#include <unistd.h>

#include <cerrno>

#include "apps/context.h"
#include "apps/npu_flags.h"
#include "apps/paths.h"

namespace gantry {

namespace {

struct NpuWorkerFlags final : Flags {
  NpuFlags npu;
};

Result<void> become(const CliContext& context, const NpuFlags& flags) {
  std::vector<std::string> args = npu_argv(sibling_program(context.os, "gantry-npu"), flags);
  if (!context.config.empty()) args.insert(args.end(), {"--config", context.config});
  if (!context.state_dir.empty()) args.insert(args.end(), {"--state-dir", context.state_dir});
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  ::execv(argv.front(), argv.data());
  return fail(os_error("cannot start " + args.front(), errno));
}

}  // namespace

void add_npu_worker(CLI::App& app, CliContext& context) {
  NpuWorkerFlags& flags = context.keep<NpuWorkerFlags>();
  CLI::App* command = app.add_subcommand(
      "npu-worker", "Embeddings, answers, transcripts and pictures over HTTP, on an NPU if any");
  add_npu_flags(command, &flags.npu);
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(become(context, flags.npu)); };
  });
}

}  // namespace gantry
