// synth: models with random weights, to measure and test without downloads.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "apps/context.h"
#include "model/gguf.h"
#include "model/synth.h"
#include "model/synth_companions.h"
#include "model/synth_file.h"

namespace gantry {

namespace {

constexpr uint32_t kThreadsMax = 8;  // more than any disk keeps up with
constexpr const char* kLora = "lora";
constexpr const char* kProjector = "mmproj";
constexpr uint32_t kProjectorLayers = 4;

struct SynthFlags final : Flags {
  SynthWish wish;
  std::string of, out, projector;
  uint32_t rank = 8;
  bool list = false, dry_run = false, sparse = false;
};

Result<void> list_shapes(bool as_json) {
  nlohmann::json shapes = nlohmann::json::array();
  std::string text = fmt::format("{:<14} {:<14} {:>6} {:>6} {:>6} {:>9} {:>8}  {}\n", "name",
                                 "architecture", "layers", "embd", "ff", "heads/kv", "vocab",
                                 "about");
  for (const SynthShape& shape : synth_shapes()) {
    shapes.push_back({{"name", shape.name}, {"architecture", shape.architecture},
                      {"about", shape.about}, {"layers", shape.layers}, {"embd", shape.embd},
                      {"ff", shape.ff}, {"heads", shape.heads}, {"kv_heads", shape.kv_heads},
                      {"experts", shape.experts}, {"experts_used", shape.experts_used},
                      {"vocab", shape.vocab}, {"context", shape.context}});
    text += fmt::format("{:<14} {:<14} {:>6} {:>6} {:>6} {:>9} {:>8}  {}\n", shape.name,
                        shape.architecture, shape.layers, shape.embd, shape.ff,
                        fmt::format("{}/{}", shape.heads, shape.kv_heads), shape.vocab,
                        shape.about);
  }
  std::string quants;
  for (const std::string_view quant : synth_quants()) quants += " " + std::string(quant);
  if (as_json) {
    return print(nlohmann::json{{"shapes", shapes}, {"quants", synth_quants()}}.dump(2) + "\n");
  }
  text += "lora           an adapter for the model that --of names\n"
          "mmproj         a vision encoder and its projection onto the model that --of names\n";
  return print(text + "--quant is one of" + quants + "\n");
}

// On a terminal one line that is written over; elsewhere a line now and then.
class Progress {
 public:
  ~Progress() {
    if (terminal_ && shown_) std::fputs("\r\033[K", stderr);
  }
  void show(uint64_t done, uint64_t total) {
    ++calls_;
    if (!terminal_ && calls_ % kLineEvery != 0) return;
    shown_ = true;
    std::fputs(fmt::format("{}gantry: wrote {} of {} ({} %){}", terminal_ ? "\r" : "",
                           format_bytes({done}), format_bytes({total}), done * 100 / total,
                           terminal_ ? "\033[K" : "\n").c_str(), stderr);
  }

 private:
  static constexpr uint32_t kLineEvery = 20;  // calls, of which there are four a second
  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  uint32_t calls_ = 0;
  bool shown_ = false;
};

Result<void> report_written(const SynthModel& model, const SynthFlags& flags, bool as_json) {
  if (as_json) {
    const nlohmann::json written = {
        {"file", flags.out}, {"shape", model.name}, {"architecture", model.architecture},
        {"quant", model.quant}, {"bytes", model.bytes}, {"tensors", model.tensors.size()},
        {"layers", model.layers}, {"parameters", model.parameters}, {"seed", model.seed},
        {"written", !flags.dry_run}};
    return print(written.dump(2) + "\n");
  }
  return print(fmt::format("{}: {}, {} layers, {} tensors, {}, {}{}\n",
                           flags.out.empty() ? model.name : flags.out, model.architecture,
                           model.layers, model.tensors.size(), model.quant,
                           format_bytes({model.bytes}), flags.dry_run ? " (not written)" : ""));
}

Result<SynthModel> companion_of(const CliContext& context, const SynthFlags& flags) {
  if (flags.of.empty()) {
    return fail(Code::kUsage, flags.wish.shape + " belongs to a model", "name it with --of FILE");
  }
  Result<std::unique_ptr<MappedFile>> file = context.os.map_file(flags.of);
  if (!file) return fail(file.error());
  Result<Gguf> base = read_gguf((*file)->bytes());
  if (!base) {
    return fail(base.error().code, flags.of + ": " + base.error().message, base.error().remedy);
  }
  if (flags.wish.shape == kLora) return synth_lora(*base, flags.rank, flags.wish.seed);
  SynthEncoder encoder;
  if (!flags.projector.empty()) encoder.projector = flags.projector;
  return synth_projector(*base, flags.wish.layers.value_or(kProjectorLayers), flags.wish.seed,
                         encoder);
}

Result<SynthModel> model_of(const CliContext& context, const SynthFlags& flags) {
  if (flags.wish.shape == kLora || flags.wish.shape == kProjector) {
    return companion_of(context, flags);
  }
  if (!flags.of.empty()) {
    return fail(Code::kUsage, "--of belongs to lora and mmproj", "leave it out");
  }
  return synth_model(flags.wish);
}

Result<void> write(const CliContext& context, const SynthModel& model, const std::string& path,
                   bool sparse) {
  Progress progress;
  SynthWriting how;
  how.sparse = sparse;
  how.threads = std::clamp(std::thread::hardware_concurrency(), 1U, kThreadsMax);
  how.cancel = &context.interrupt.flag();
  how.progress = [&](uint64_t done, uint64_t total) { progress.show(done, total); };
  return write_synth(model, path, how);
}

Result<void> synthesize(const CliContext& context, const SynthFlags& flags) {
  if (flags.list) return list_shapes(context.json);
  if (flags.wish.shape.empty()) {
    return fail(Code::kUsage, "no shape named", "see gantry synth --list");
  }
  if (flags.out.empty() && !flags.dry_run) {
    return fail(Code::kUsage, "no file named", "give -o FILE, or --dry-run for the size alone");
  }
  Result<SynthModel> model = model_of(context, flags);
  if (!model) return fail(model.error());
  if (!flags.dry_run) {
    if (Result<void> done = write(context, *model, flags.out, flags.sparse); !done) return done;
  }
  return report_written(*model, flags, context.json);
}

void add_size_flags(CLI::App* command, SynthWish* wish) {
  command->add_option("--layers", wish->layers, "Layers");
  command->add_option("--embd", wish->embd, "Width of the embedding; heads keep their size");
  command->add_option("--ff", wish->ff, "Width of the feed-forward part (of one expert)");
  command->add_option("--heads", wish->heads, "Attention heads");
  command->add_option("--kv-heads", wish->kv_heads, "Heads of K and V");
  command->add_option("--head-size", wish->head_size, "Width of a head (default: embd / heads)");
  command->add_option("--experts", wish->experts, "Experts a layer");
  command->add_option("--experts-used", wish->experts_used, "Experts that a token uses");
  command->add_option("--vocab", wish->vocab, "Tokens");
  command->add_option("--context", wish->context, "Context that it claims to be trained for");
  command->add_option("--scale", wish->scale,
                      "Multiplies embd, ff and heads; layers and vocabulary stay");
}

}  // namespace

void add_synth(CLI::App& app, CliContext& context) {
  SynthFlags& flags = context.keep<SynthFlags>();
  CLI::App* command = app.add_subcommand("synth", "Write a model with random weights, fast");
  command->add_option("shape", flags.wish.shape, "An architecture or a real model's shape");
  add_size_flags(command, &flags.wish);
  command->add_option("--quant", flags.wish.quant, "Type of the matrices (default Q8_0)");
  command->add_flag("--tied", flags.wish.tied, "The embedding is the output matrix too");
  command->add_option("--seed", flags.wish.seed, "Same seed, same bytes (default 1)");
  command->add_option("--of", flags.of, "The model that a lora or mmproj belongs to")
      ->type_name("FILE");
  command->add_option("--rank", flags.rank, "Of a lora (default 8)");
  command->add_option("--projector", flags.projector,
                      fmt::format("Of an mmproj: {}", fmt::join(synth_projectors(), ", ")));
  command->add_option("-o,--output", flags.out, "The file to write")->type_name("FILE");
  command->add_flag("--list", flags.list, "The shapes and quants there are");
  command->add_flag("--sparse", flags.sparse,
                    "Leave the weights out: a file of the right size that takes no room");
  command->add_flag("--dry-run", flags.dry_run, "Say how large it would be, and write nothing");
  command->add_flag("--json", context.json, "Machine-readable");
  command->footer("Examples:\n"
                  "  gantry synth 8b --quant Q4_K_M -o 8b.gguf\n"
                  "  gantry synth 30b-a3b --scale 0.5 --layers 12 -o moe.gguf\n"
                  "  gantry synth qwen3 --layers 3 --quant IQ4_XS -o small.gguf\n"
                  "  gantry synth lora --of small.gguf -o adapter.gguf");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(synthesize(context, flags)); };
  });
}

}  // namespace gantry
