// bench: what each placement of a model costs in memory and gives in speed, predicted and measured.
#include <fmt/format.h>

#include <chrono>
#include <fstream>

#include "apps/bench_figures.h"
#include "apps/bench_plot.h"
#include "apps/bench_run.h"
#include "apps/context.h"
#include "apps/paths.h"
#include "audit/machine.h"
#include "config/config.h"
#include "foreman/roster.h"
#include "plan/need.h"

namespace gantry {

namespace {

struct BenchFlags final : Flags {
  std::string model, preset, placement = "interleave", inner, plugin, output, svg, log;
  std::vector<std::string> compared;
  bool table = false, automatic = false, no_offload = false, test_speed = false;
  int layers = -1;
  BenchPlan plan;
};

// The model, and what is known of the machine.
struct Subject {
  std::string file;
  Wish wish;
  std::optional<double> memory_per_s, arrival_per_s;  // measured: `gantry devices --bench`
  std::string machine;
};

Result<std::string> file_of(const Config& config, const std::string& name,
                            const std::string& canonical) {
  if (name.starts_with('/')) return name;
  for (const ModelConfig& model : config.models) {
    if (model.name != canonical) continue;
    if (!model.file.empty()) return model.file;
    return fail(Code::kUnsupported, name + " is an external command", "bench a model file");
  }
  return fail(Code::kNotFound, "there is no model " + name, "give a file");
}

Result<Subject> subject_of(const CliContext& context, const BenchFlags& flags) {
  std::map<std::string, std::string> given;
  if (!context.vram_budget.empty()) given["vram_budget"] = context.vram_budget;
  Result<Config> config = load_config(context.os, context.config, given);
  if (!config) return fail(config.error());
  Result<std::string> state = state_directory(context.os, context.state_dir);
  if (!state) return fail(state.error());
  const std::string worker = sibling_program(context.os, "gantry-worker");
  Result<Machine> machine =
      audit(context.os, {config->models_dir, worker, join_path(*state, "bench.json")});
  if (!machine) return fail(machine.error());
  Roster roster({&context.os, &*config, &*machine, nullptr, card_probe(context.os, worker, "")});
  const bool file = flags.model.find('/') != std::string::npos ||
                    context.os.stat(flags.model).has_value();
  const std::string name = file ? absolute_path(flags.model) : flags.model;
  Result<Wish> wish = roster.wish(name, true);
  if (!wish) return fail(wish.error());
  if (wish->engine != EngineKind::kLlama || !wish->card || wish->card->layers == 0) {
    return fail(Code::kUnsupported, flags.model + " is no language model",
                "bench a GGUF model that writes text");
  }
  Result<std::string> path = file_of(*config, name, roster.canonical(name));
  if (!path) return fail(path.error());
  Subject out{*path, std::move(*wish), {}, {}, ""};
  const Device& device = machine->devices.back();  // an accelerator, where there is one
  out.memory_per_s = device.bandwidth.memory_bytes_per_s;
  out.arrival_per_s = device.kind == DeviceKind::kCpu ? machine->disk.read_bytes_per_s
                                                      : device.bandwidth.host_copy_bytes_per_s;
  out.machine = machine->cpu.model + ": " + device.verdict;
  return out;
}

Bytes kv_compute_of(const Subject& subject, const BenchPlan& plan) {
  Wish wish = subject.wish;
  wish.flash_attention = true;
  wish.ubatch = static_cast<uint32_t>(plan.ubatch);
  const int tokens = plan.context > 0 ? plan.context : plan.prompt + plan.decode * plan.sequences;
  const CacheShape shape{wish.ubatch, static_cast<uint32_t>(plan.sequences)};
  return wish.card->kv_bytes(static_cast<uint32_t>(tokens), wish.cache_k, wish.cache_v, shape) +
         llama_graph_bytes(wish);
}

// ---- measuring

struct Measured {
  BenchSetup setup;
  std::vector<BenchRun> runs;
  std::optional<Error> error;  // a configuration that does not run leaves the others be
};

void progress(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

Result<void> measure_once(const CliContext& context, const BenchPlan& plan, Measured* one) {
  if (one->error) return {};
  Result<BenchRun> run = run_worker(context.os, plan, one->setup, context.interrupt);
  if (run) {
    one->runs.push_back(std::move(*run));
    return {};
  }
  if (run.error().code == Code::kCancelled) return fail(run.error());
  one->error = run.error();
  return {};
}

// Each in turn, `rounds` times over, so that a drift of the machine meets all of them alike.
Result<void> measure_all(const CliContext& context, const BenchPlan& plan, int rounds,
                         std::vector<Measured>* all) {
  for (int round = 0; round < rounds; ++round) {
    for (Measured& one : *all) {
      progress(fmt::format("{}{}", one.setup.name,
                           rounds > 1 ? fmt::format(": run {}/{}", round + 1, rounds) : ""));
      if (Result<void> done = measure_once(context, plan, &one); !done) return done;
    }
  }
  return {};
}

double per_token(const Measured& one, const std::string& field) {
  const std::vector<double> values = series(one.runs, "decode", field);
  const std::vector<double> tokens = series(one.runs, "decode", "tokens");
  std::vector<double> out;
  for (size_t i = 0; i < std::min(values.size(), tokens.size()); ++i) {
    if (tokens[i] > 0) out.push_back(values[i] / tokens[i]);
  }
  return median(std::move(out));
}

nlohmann::json interval_json(const MedianInterval& of) {
  return {{"median", of.median}, {"low", of.low}, {"high", of.high},
          {"coverage", of.coverage}, {"count", of.count}};
}

// Time that bytes took to arrive: from the disk, or over the link, whichever took longer.
double transfer_seconds(const Measured& one) {
  return std::max(per_token(one, "stream/disk_seconds"), per_token(one, "stream/copy_seconds"));
}

nlohmann::json measured_json(const Measured& one) {
  nlohmann::json out = {{"name", one.setup.name}, {"stream", one.setup.stream}};
  for (const auto& [key, value] : one.setup.options) out["options"][key] = value;
  if (one.error) {
    out["error"] = {{"code", code_name(one.error->code)}, {"message", one.error->message}};
    return out;
  }
  for (const char* phase : {"prefill", "decode"}) {
    const std::vector<double> speeds = series(one.runs, phase, "tokens_per_second");
    if (!speeds.empty()) out[phase] = interval_json(median_interval(speeds));
  }
  if (one.setup.stream) {
    const double transfer = transfer_seconds(one), stall = per_token(one, "stream/stall_seconds");
    out["per_token"] = {{"transfer_seconds", transfer},
                        {"stall_seconds", stall},
                        {"overlap", overlap_share(transfer, stall)},
                        {"disk_bytes", per_token(one, "stream/disk_bytes")},
                        {"copy_bytes", per_token(one, "stream/copy_bytes")}};
  }
  out["read_bytes_per_token"] = per_token(one, "read_bytes");
  for (const BenchRun& run : one.runs) {
    out["runs"].push_back({{"loaded", run.loaded}, {"iterations", run.iterations},
                           {"done", run.done}});
  }
  return out;
}

uint64_t number_at(const nlohmann::json& json, const char* pointer) {
  const nlohmann::json::json_pointer where(pointer);
  if (json.is_null() || !json.contains(where) || !json.at(where).is_number()) return 0;
  return json.at(where).get<uint64_t>();
}

// Bytes on the device as the plugin counts them, else as the drivers do.
Bytes device_bytes(const Measured& one) {
  if (one.runs.empty()) return {};
  const nlohmann::json& done = one.runs.back().done;
  Bytes total;
  for (const char* part : {"resident_bytes", "ring_bytes", "expert_cache_bytes",
                           "kv_compute_bytes"}) {
    total += {number_at(done, (std::string("/statistics/") + part).c_str())};
  }
  if (total.n > 0) return total;
  for (const nlohmann::json& device : done.value("devices", nlohmann::json::array())) {
    total += {number_at(device, "/held_bytes")};
  }
  return total;
}

std::string speed_text(const Measured& one, const char* phase) {
  const std::vector<double> speeds = series(one.runs, phase, "tokens_per_second");
  if (speeds.empty()) return "-";
  const MedianInterval of = median_interval(speeds);
  return fmt::format("{:.2f} [{:.2f}, {:.2f}]", of.median, of.low, of.high);
}

std::string measured_text(const std::vector<Measured>& all) {
  size_t wide = 14;
  for (const Measured& one : all) wide = std::max(wide, one.setup.name.size() + 1);
  std::string out = fmt::format("{:<{}}{:>27}{:>24}{:>12}{:>12}{:>9}{:>8}{:>12}\n",
                                "configuration", wide, "prefill tok/s", "decode tok/s", "device",
                                "host peak", "ms/token", "overlap", "disk/token");
  for (const Measured& one : all) {
    if (one.error) {
      out += fmt::format("{:<{}} does not run\n", one.setup.name, wide);
      continue;
    }
    const Bytes device = device_bytes(one);
    const double transfer = transfer_seconds(one), stall = per_token(one, "stream/stall_seconds");
    const bool streamed = one.setup.stream && transfer > 0;
    out += fmt::format(
        "{:<{}}{:>27}{:>24}{:>12}{:>12}{:>9}{:>8}{:>12}\n", one.setup.name, wide,
        speed_text(one, "prefill"), speed_text(one, "decode"),
        device.n > 0 ? format_bytes(device) : "-",
        format_bytes({number_at(one.runs.back().done, "/memory/peak_rss_bytes")}),
        streamed ? fmt::format("{:.1f}", 1000 * transfer) : "-",
        streamed ? fmt::format("{:.0f} %", 100 * overlap_share(transfer, stall)) : "-",
        format_bytes({static_cast<uint64_t>(per_token(one, "read_bytes"))}));
  }
  return out + "ms/token: transfer time of the bytes that moved for one token of decode; overlap: "
               "the share of it\nthat computing hid. [ ]: 95 % interval of the median, or the "
               "range of fewer than six runs.\n";
}

// ---- comparing two

nlohmann::json compared_json(const Measured& a, const Measured& b) {
  nlohmann::json out = {{"a", a.setup.name}, {"b", b.setup.name}};
  for (const char* phase : {"prefill", "decode"}) {
    const std::vector<double> of_a = series(a.runs, phase, "tokens_per_second");
    const std::vector<double> of_b = series(b.runs, phase, "tokens_per_second");
    if (!of_a.empty() && !of_b.empty()) out[phase] = interval_json(ratio_interval(of_a, of_b));
  }
  if (!a.runs.empty() && !b.runs.empty()) {
    out["same_output"] = a.runs.back().done.value("output", "a") ==
                         b.runs.back().done.value("output", "b");
  }
  return out;
}

std::string compared_text(const nlohmann::json& compared) {
  std::string out;
  for (const char* phase : {"prefill", "decode"}) {
    if (!compared.contains(phase)) continue;
    const nlohmann::json& of = compared.at(phase);
    out += fmt::format("{}: {} runs at {:.3f} times the speed of {} [{:.3f}, {:.3f}], {:.1f} % "
                       "interval of {} pairs\n",
                       phase, compared.at("a").get<std::string>(), of.at("median").get<double>(),
                       compared.at("b").get<std::string>(), of.at("low").get<double>(),
                       of.at("high").get<double>(), 100 * of.at("coverage").get<double>(),
                       of.at("count").get<size_t>());
  }
  if (compared.contains("same_output")) {
    out += compared.at("same_output").get<bool>() ? "Both wrote the same tokens.\n"
                                                  : "They wrote different tokens.\n";
  }
  return out;
}

// ---- the preset table

std::string table_text(const std::vector<PresetRow>& rows, const Subject& subject,
                       const std::vector<Measured>& measured) {
  std::string out = fmt::format("{:<12}{:>9}{:>12}{:>12}{:>12}{:>12}{:>16}", "preset", "layers",
                                "weights", "ring", "on device", "per token", "decode (pred.)");
  if (!measured.empty()) out += fmt::format("{:>14}{:>14}{:>9}", "prefill", "decode", "of base");
  out += '\n';
  const auto speed = [](const Measured& one, const char* phase) {
    return median(series(one.runs, phase, "tokens_per_second"));
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    const PresetRow& row = rows[i];
    const auto predicted = predicted_decode(row, subject.memory_per_s, subject.arrival_per_s);
    out += fmt::format("{:<12}{:>9}{:>12}{:>12}{:>12}{:>12}{:>16}", row.preset,
                       fmt::format("{}/{}", row.resident_layers, row.layers),
                       format_bytes(row.resident), format_bytes(row.ring), format_bytes(row.total),
                       format_bytes(row.streamed),
                       predicted ? fmt::format("{:.1f} tok/s", *predicted) : "-");
    if (i < measured.size() && !measured[i].error) {
      const double base = speed(measured[0], "decode");
      out += fmt::format("{:>14.1f}{:>14.2f}{:>9}", speed(measured[i], "prefill"),
                         speed(measured[i], "decode"),
                         base > 0 ? fmt::format("{:.2f}", speed(measured[i], "decode") / base)
                                  : "-");
    }
    out += '\n';
  }
  if (!subject.memory_per_s || !subject.arrival_per_s) {
    out += "`gantry devices --bench` measures what the predictions need.\n";
  }
  return out;
}

nlohmann::json table_json(const std::vector<PresetRow>& rows, const Subject& subject) {
  nlohmann::json out = nlohmann::json::array();
  for (const PresetRow& row : rows) {
    const auto predicted = predicted_decode(row, subject.memory_per_s, subject.arrival_per_s);
    out.push_back({{"preset", row.preset},
                   {"resident_layers", row.resident_layers},
                   {"layers", row.layers},
                   {"resident_bytes", row.resident.n},
                   {"ring_bytes", row.ring.n},
                   {"streamed_bytes", row.streamed.n},
                   {"device_bytes", row.total.n},
                   {"predicted_decode", predicted ? nlohmann::json(*predicted)
                                                  : nlohmann::json()}});
  }
  return out;
}

// ---- the command

Result<std::vector<Measured>> chosen(const BenchFlags& flags) {
  std::vector<std::string> names;
  const std::string order = ",placement=" + flags.placement;
  if (!flags.compared.empty()) {
    names = flags.compared;
  } else if (flags.table) {
    if (flags.test_speed) {
      names = {"no-offload"};
      for (const char* preset : {"light", "moderate", "balanced", "aggressive", "extreme"}) {
        names.push_back("preset=" + std::string(preset) + order);
      }
    }
  } else if (flags.no_offload) {
    names = {"no-offload"};
  } else if (flags.layers >= 0) {
    names = {fmt::format("resident={}", flags.layers) + order};
  } else if (!flags.preset.empty()) {
    if (!is_preset(flags.preset)) {
      return fail(Code::kUsage, "there is no preset " + flags.preset,
                  "auto, whole, light, moderate, balanced, aggressive or extreme; a "
                  "configuration file goes before the subcommand");
    }
    names = {"preset=" + flags.preset + order};
  } else {
    names = {"auto"};
  }
  std::vector<Measured> out;
  for (const std::string& name : names) {
    Result<BenchSetup> setup = parse_setup(name);
    if (!setup) return fail(setup.error());
    if (name.starts_with("preset=") && name.ends_with(order)) {
      setup->name = name.substr(7, name.size() - 7 - order.size());  // as the user said it
    }
    out.push_back({std::move(*setup), {}, {}});
  }
  return out;
}

Result<void> check_flags(const CliContext& context, BenchFlags* flags) {
  const int ways = (flags->automatic ? 1 : 0) + (flags->no_offload ? 1 : 0) +
                   (flags->layers >= 0 ? 1 : 0) + (flags->preset.empty() ? 0 : 1) +
                   (flags->compared.empty() ? 0 : 1) + (flags->table ? 1 : 0);
  if (ways > 1) {
    return fail(Code::kUsage, "more than one configuration was asked for",
                "give one of --print-table, --auto, --config, --num-gpu-layers, --no-offload, "
                "--compare");
  }
  if (!context.vram_budget.empty()) {
    if (Result<Budget> budget = parse_budget(context.vram_budget); !budget) {
      return fail(budget.error());
    }
  }
  BenchPlan& plan = flags->plan;
  plan.worker = sibling_program(context.os, "gantry-worker");
  plan.plugin = flags->plugin.empty() ? sibling_program(context.os, "libggml-gantry.so")
                                      : absolute_path(flags->plugin);
  plan.inner = flags->inner;
  plan.vram_budget = context.vram_budget;
  plan.log = flags->log.empty() ? "" : absolute_path(flags->log);
  return {};
}

Result<void> write_out(Os& os, const std::string& path, const std::string& text) {
  if (path.empty()) return {};
  return os.write_file(absolute_path(path), text, 0644);
}

std::string chart(const Subject& subject, const std::vector<Measured>& all) {
  std::vector<Panel> panels;
  for (const auto& [phase, title] : {std::pair{"prefill", "Reading the prompt (prefill)"},
                                     std::pair{"decode", "Writing (decode)"}}) {
    Panel panel{title, "tokens per second", {}};
    for (const Measured& one : all) {
      const std::vector<double> speeds = series(one.runs, phase, "tokens_per_second");
      if (speeds.empty()) continue;
      const MedianInterval of = median_interval(speeds);
      panel.bars.push_back({one.setup.name, of.median, of.low, of.high});
    }
    if (!panel.bars.empty()) panels.push_back(std::move(panel));
  }
  return bar_chart_svg("Speed of " + base_name(subject.file) + " by placement", subject.machine,
                       panels);
}

Result<void> bench_model(const CliContext& context, BenchFlags& flags) {
  if (Result<void> ok = check_flags(context, &flags); !ok) return ok;
  Result<std::vector<Measured>> all = chosen(flags);
  if (!all) return fail(all.error());
  Result<Subject> subject = subject_of(context, flags);
  if (!subject) return fail(subject.error());
  flags.plan.model = subject->file;
  const Spread spread = flags.placement == "tail" ? Spread::kTail : Spread::kInterleave;
  Result<std::vector<PresetRow>> rows =
      preset_table(*subject->wish.card, spread, kv_compute_of(*subject, flags.plan));
  if (!rows) return fail(rows.error());
  // In a comparison every iteration is a process of its own, so that the two take turns.
  BenchPlan plan = flags.plan;
  const int rounds = flags.compared.empty() ? 1 : plan.iterations;
  if (!flags.compared.empty()) plan.iterations = 1;
  if (Result<void> done = measure_all(context, plan, rounds, &*all); !done) return done;
  nlohmann::json out = {{"model", base_name(subject->file)}, {"machine", subject->machine},
                        {"prompt", plan.prompt}, {"decode", plan.decode},
                        {"sequences", plan.sequences},
                        {"presets", table_json(*rows, *subject)},
                        {"configurations", nlohmann::json::array()}};
  for (const Measured& one : *all) out["configurations"].push_back(measured_json(one));
  std::string text;
  if (flags.table) text += table_text(*rows, *subject, *all) + (all->empty() ? "" : "\n");
  if (!all->empty()) text += measured_text(*all);
  if (!flags.compared.empty()) {
    out["comparison"] = compared_json((*all)[0], (*all)[1]);
    text += compared_text(out["comparison"]);
  }
  if (Result<void> done = write_out(context.os, flags.output, out.dump(1) + "\n"); !done) {
    return done;
  }
  if (!flags.svg.empty()) {
    Result<void> done = write_out(context.os, flags.svg, chart(*subject, *all));
    if (!done) return done;
  }
  if (Result<void> done = print(context.json ? out.dump(2) + "\n" : text); !done) return done;
  for (const Measured& one : *all) {
    if (one.error) return fail(*one.error);
  }
  return {};
}

void add_measure_flags(CLI::App* command, BenchFlags* flags) {
  BenchPlan& plan = flags->plan;
  command->add_option("-p,--n-prompt", plan.prompt, "Tokens of the prompt (default 512)")
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("-n,--n-gen", plan.decode, "Tokens written per sequence (default 32)")
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("-b,--batch", plan.sequences, "Sequences written at once (default 1)")
      ->check(CLI::Range(1, 256));
  command->add_option("--ub,--ubatch-size", plan.ubatch, "Tokens computed at once (default 512)")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("-c,--ctx-size", plan.context, "Context; default: what the run needs")
      ->check(CLI::Range(0, 1 << 28));
  command->add_option("-t,--threads", plan.threads, "Compute threads (default: all)")
      ->check(CLI::Range(0, 512));
  command->add_option("--warmup", plan.warmup, "Iterations before those that count (default 1)")
      ->check(CLI::Range(0, 1000));
  command->add_option("--iterations", plan.iterations, "Iterations that count (default 3)")
      ->check(CLI::Range(1, 1000));
  command->add_option("--inner", flags->inner, "ggml's name of the device that computes")
      ->type_name("DEVICE");
  command->add_option("--plugin", flags->plugin, "Default: libggml-gantry.so beside gantry")
      ->type_name("FILE");
  command->add_option("-o,--output", flags->output, "Write everything there")
      ->type_name("FILE.json");
  command->add_option("--svg", flags->svg, "Draw the speeds")->type_name("FILE.svg");
  command->add_option("--log", flags->log, "Keep what the engine prints")->type_name("FILE");
}

}  // namespace

void add_bench(CLI::App& app, CliContext& context) {
  BenchFlags& flags = context.keep<BenchFlags>();
  CLI::App* command = app.add_subcommand("bench", "How fast a model runs, by what is kept where");
  command->add_option("model", flags.model, "A file, or a name from the catalogue")->required();
  command->add_flag("--print-table", flags.table, "The presets: layers, bytes, predicted speed");
  command->add_flag("--test-speed", flags.test_speed, "Measure; with --print-table, each preset");
  command->add_flag("--auto", flags.automatic, "As much on the device as is free (default)");
  command->add_option("--config", flags.preset, "light, moderate, balanced, aggressive, extreme")
      ->type_name("PRESET");
  command->add_option("--ngl,--num-gpu-layers", flags.layers, "Exactly so many layers resident")
      ->check(CLI::Range(0, 512));
  command->add_flag("--no-offload", flags.no_offload, "The whole model on the device, no streamer");
  command->add_option("--placement", flags.placement, "Which layers stay: tail, interleave")
      ->check(CLI::IsMember({"tail", "interleave"}));
  command->add_option("--compare", flags.compared, "Two configurations, run in turn")
      ->expected(2)->type_name("A B");
  add_measure_flags(command, &flags);
  command->add_flag("--json", context.json, "Machine-readable");
  command->footer(
      "Examples:\n"
      "  gantry bench model.gguf --print-table               presets and predictions, at once\n"
      "  gantry bench model.gguf --print-table --test-speed  and measured\n"
      "  gantry bench model.gguf --config balanced -p 2048 -n 64\n"
      "  gantry bench model.gguf --vram-budget 6GiB -b 8     as on a smaller card, 8 at once\n"
      "  gantry bench model.gguf --compare balanced no-offload --iterations 9 --svg out.svg\n"
      "  gantry bench model.gguf --compare resident=8,placement=tail "
      "resident=8,placement=interleave\n"
      "A configuration is a preset, no-offload, cpu, mmap, or settings (docs/offloading.md).");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(bench_model(context, flags)); };
  });
}

}  // namespace gantry
