// The flags and the script of lab/stream/logits.
#include "lab/stream/options.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string_view>

namespace gantry::logits {
namespace {

bool read_number(const std::string& text, int64_t most, int64_t* number) {
  errno = 0;
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || errno != 0 || value < 0 || value > most) return false;
  *number = value;
  return true;
}

bool read_action(const std::string& word, Options* options) {
  Action action;
  const size_t equals = word.find('=');
  action.name = word.substr(0, equals);
  if (equals != std::string::npos) action.value = word.substr(equals + 1);
  const std::string_view counted[] = {"prompt", "decode", "abort", "seconds", "speak"};
  for (const std::string_view name : counted) {
    if (action.name == name && !read_number(action.value, 1 << 30, &action.number)) return false;
    if (action.name == name) return options->script.push_back(action), true;
  }
  const std::string_view plain[] = {"image", "clear", "context", "wait", "memory",
                                    "statistics"};
  for (const std::string_view name : plain) {
    if (action.name == name) return options->script.push_back(action), true;
  }
  return false;
}

bool read_flag(const std::string& name, const std::string& value, Options* options) {
  if (name == "--model") return options->models.push_back(value), true;
  const std::map<std::string, std::string*> texts = {
      {"--out", &options->out},           {"--load", &options->load},
      {"--device", &options->device},     {"--callback", &options->callback},
      {"--lora", &options->lora},         {"--override", &options->override_pattern},
      {"--rpc", &options->rpc},           {"--projector", &options->projector},
      {"--kv-type", &options->kv_type},   {"--rpc-library", &options->rpc_library},
  };
  const std::map<std::string, int*> numbers = {
      {"--ngl", &options->layers},        {"--threads", &options->threads},
      {"--context", &options->context},   {"--batch", &options->batch},
      {"--ubatch", &options->micro_batch}, {"--contexts", &options->contexts},
      {"--rows", &options->rows},         {"--sequences", &options->sequences},
      {"--loads", &options->loads},
  };
  const std::map<std::string, bool*> switches = {
      {"--flash", &options->flash},
      {"--repack", &options->repack},
      {"--embeddings", &options->embeddings},
      {"--verbose", &options->verbose},
  };
  if (const auto text = texts.find(name); text != texts.end()) return *text->second = value, true;
  int64_t number = 0;
  if (!read_number(value, 1 << 30, &number)) return false;
  if (const auto found = switches.find(name); found != switches.end()) {
    return *found->second = number != 0, true;
  }
  const auto found = numbers.find(name);
  if (found == numbers.end()) return false;
  return *found->second = static_cast<int>(number), true;
}

}  // namespace

std::optional<Options> parse_options(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const bool flag = word.starts_with("--");
    const bool good = flag ? i + 1 < count && read_flag(word, words[i + 1], &options)
                           : read_action(word, &options);
    if (!good) {
      std::fprintf(stderr, "logits: %s does not make sense\n", word.c_str());
      return std::nullopt;
    }
    i += flag ? 1 : 0;
  }
  if (options.models.empty() || options.contexts < 1 || options.sequences < 1) {
    std::fprintf(stderr, "logits: --model FILE --FLAG VALUE... ACTION[=VALUE]...\n");
    return std::nullopt;
  }
  return options;
}

}  // namespace gantry::logits
