// The flags that say what stays in memory.
#include "apps/streaming.h"

#include "plan/plan.h"

namespace gantry {

void StreamingFlags::add_to(CLI::App* command) {
  command->add_option("--ngl,--num-gpu-layers", layers,
                      "Layers that stay on the device; the others stream (-ngl)");
  command->add_option("--config", config,
                      "How many stay: light, moderate, balanced, aggressive, extreme, or the class "
                      "of a GPU such as consumer; or a configuration file");
  command->add_flag("--auto", automatic, "As many as the budget holds (the default)");
  command->add_flag("--no-offload", whole, "All of them, or not at all");
}

Result<std::string> StreamingFlags::word(std::string* config_file) const {
  // A file is told from a preset by what its name is made of.
  const bool file = config.find_first_of("./") != std::string::npos;
  const std::string preset = file ? "" : config;
  if (file) *config_file = config;
  std::string chosen, flag;
  const auto choose = [&](bool given, const char* name, const std::string& word) -> Result<void> {
    if (!given) return {};
    if (!flag.empty()) {
      return fail(Code::kUsage, flag + " and " + name + " contradict each other",
                  "give one of --num-gpu-layers, --config PRESET, --auto, --no-offload");
    }
    flag = name;
    chosen = word;
    return {};
  };
  const auto number = [&] { return std::to_string(layers.value_or(0)); };
  for (const auto& [given, name, text] :
       {std::tuple{layers.has_value(), "--num-gpu-layers", number()},
        std::tuple{!preset.empty(), "--config", preset},
        std::tuple{automatic, "--auto", std::string("auto")},
        std::tuple{whole, "--no-offload", std::string("off")}}) {
    if (Result<void> done = choose(given, name, text); !done) return fail(done.error());
  }
  if (chosen.empty()) return chosen;
  if (Result<StreamWish> known = parse_stream_wish(chosen); !known) {
    return fail(known.error().code, flag + ": " + known.error().message, known.error().remedy);
  }
  return chosen;
}

}  // namespace gantry
