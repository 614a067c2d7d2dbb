// trace: one generation by a worker of its own, and what its streamer moved and computed when.
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/paths.h"
#include "apps/streaming.h"
#include "config/config.h"
#include "foreman/roster.h"
#include "pipe/ask.h"

namespace gantry {

namespace {

constexpr Bytes kTraceMax = GiB(1);

struct TraceFlags final : Flags {
  std::string model, prompt, system, out;
  uint32_t tokens = 32;
  StreamingFlags streaming;
};

// A private folder for the worker's socket, gone with this value.
class ScratchFolder {
 public:
  ScratchFolder(Os& os, std::string path) : os_(os), path_(std::move(path)) {}
  ScratchFolder(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    const Result<void> gone = os_.remove(path_);
    static_cast<void>(gone);
  }
  const std::string& path() const { return path_; }

 private:
  Os& os_;
  const std::string path_;
};

Result<std::unique_ptr<ScratchFolder>> make_scratch(Os& os) {
  std::string pattern = "/tmp/gantry-trace-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) return fail(os_error("cannot make " + pattern, errno));
  return std::make_unique<ScratchFolder>(os, pattern);
}

Result<Config> config_of(const CliContext& context) {
  std::map<std::string, std::string> flags;
  if (!context.ram_budget.empty()) flags["ram_budget"] = context.ram_budget;
  if (!context.vram_budget.empty()) flags["vram_budget"] = context.vram_budget;
  return load_config(context.os, context.config, flags);
}

Result<Machine> machine_of(const CliContext& context, const Config& config) {
  Result<std::string> state = state_directory(context.os, context.state_dir);
  if (!state) return fail(state.error());
  return audit(context.os, {config.models_dir, sibling_program(context.os, "gantry-worker"),
                            join_path(*state, "bench.json")});
}

Result<WorkerSpec> spec_of(const CliContext& context, const Config& config, const Machine& machine,
                           const TraceFlags& flags, const std::string& way,
                           const std::string& scratch) {
  Roster roster({&context.os, &config, &machine, nullptr,
                 card_probe(context.os, sibling_program(context.os, "gantry-worker"), scratch)});
  const bool file = flags.model.find('/') != std::string::npos ||
                    context.os.stat(flags.model).has_value();
  const std::string name = file ? absolute_path(flags.model) : flags.model;
  Result<Loadable> found = roster.find(way.empty() ? name : name + "#" + way, true);
  if (!found) return fail(found.error());
  if (!found->spec.placement.stream) {
    return fail(Code::kUsage, flags.model + " fits whole: nothing streams, nothing is traced",
                "give --config extreme, or a smaller --ram-budget");
  }
  return std::move(found->spec);
}

// The answer's text to stdout; the worker ends, and with it its trace is written.
Result<void> generate(const CliContext& context, Worker& worker, const std::string& model,
                      const TraceFlags& flags) {
  const http::Cancel& cancel = context.interrupt.flag();
  if (Result<void> ready = worker.ready(cancel); !ready) return ready;
  Result<std::string> body =
      chat_body(context.os, model, {flags.system, flags.prompt, {}, flags.tokens, 0, 0});
  if (!body) return fail(body.error());
  http::Request request;
  request.method = "POST";
  request.target = "/v1/chat/completions";
  request.headers = {{"Content-Type", "application/json"}};
  request.body = std::move(*body);
  http::FetchOptions options;
  options.cancel = &cancel;
  Result<http::Response> answer = http::fetch(worker.address(), request, options);
  if (!answer) return fail(answer.error());
  if (answer->status != 200) {
    return fail(Code::kWorkerFailed, fmt::format("the model answered with status {}: {}",
                                                 answer->status, answer->body.substr(0, 200)));
  }
  ChatStream stream;
  Result<std::string> text = stream.feed(answer->body);
  if (!text) return fail(text.error());
  return print(*text + "\n");
}

Result<void> keep_trace(Os& os, const std::string& made, const std::string& out,
                        const std::optional<StreamCounters>& moved) {
  Result<std::string> text = os.read_file(made, kTraceMax);
  if (!text) {
    return fail(Code::kWorkerFailed, "the worker left no trace: " + text.error().message,
                "it may have been killed before its end; try again");
  }
  if (Result<void> written = os.write_file(out, *text, 0644); !written) return written;
  const StreamCounters seen = moved.value_or(StreamCounters{});
  std::fprintf(stderr, "%s: %s; %s read, overlap %.0f %%; open it at ui.perfetto.dev\n",
               out.c_str(), format_bytes({text->size()}).c_str(),
               format_bytes({seen.disk_bytes}).c_str(), 100 * seen.overlap());
  return {};
}

Result<void> trace(CliContext& context, const TraceFlags& flags) {
  const Result<std::string> way = flags.streaming.word(&context.config);
  if (!way) return fail(way.error());
  const std::string out = absolute_path(flags.out);
  if (::access(dir_name(out).c_str(), W_OK) != 0) {
    return fail(os_error("cannot write in " + dir_name(out), errno));
  }
  Result<Config> config = config_of(context);
  if (!config) return fail(config.error());
  Result<Machine> machine = machine_of(context, *config);
  if (!machine) return fail(machine.error());
  Result<std::unique_ptr<ScratchFolder>> scratch = make_scratch(context.os);
  if (!scratch) return fail(scratch.error());
  const std::string& folder = (*scratch)->path();
  Result<WorkerSpec> spec = spec_of(context, *config, *machine, flags, *way, folder);
  if (!spec) return fail(spec.error());
  spec->trace_file = join_path(folder, "trace.json");
  const WorkerContext place{folder, folder, GANTRY_ENGINE_DIR,
                            sibling_program(context.os, "gantry-worker"), &machine->cpu};
  Result<std::unique_ptr<Worker>> worker = start_worker(context.os, place, *spec);
  if (!worker) return fail(worker.error());
  Result<void> done = generate(context, **worker, spec->model, flags);
  const std::optional<StreamCounters> moved = (*worker)->stream_counters();
  (*worker)->stop();
  if (!done) return done;
  return keep_trace(context.os, spec->trace_file, out, moved);
}

}  // namespace

void add_trace(CLI::App& app, CliContext& context) {
  TraceFlags& flags = context.keep<TraceFlags>();
  CLI::App* command =
      app.add_subcommand("trace", "Run a streaming model once and write what moved and computed");
  command->add_option("model", flags.model, "Name from the catalogue, or a GGUF file")->required();
  command->add_option("-p,--prompt", flags.prompt, "The question")->required();
  command->add_option("-o,--output", flags.out, "The trace: Chrome's JSON")->required();
  command->add_option("--system", flags.system, "System prompt");
  command->add_option("-n,--predict", flags.tokens, "Tokens at most")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  flags.streaming.add_to(command);
  command->footer("A worker of its own runs it, beside the daemon's. Open the file at\n"
                  "https://ui.perfetto.dev or chrome://tracing.\n"
                  "Example:\n  gantry trace big.gguf -p 'Hello.' --config extreme -o trace.json");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(trace(context, flags)); };
  });
}

}  // namespace gantry
