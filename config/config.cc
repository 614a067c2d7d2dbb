// One file: text -> Config or warnings.
#include "config/config.h"

#include "config/keys.h"

namespace gantry {

bool is_relay(const ModelConfig& model) {
  // Wherever in the command it stands: what is taken for a relay stays here, and not the other way.
  return model.cmd.find("gantry-relay") != std::string::npos;
}

Result<Config> parse_config(const std::string& text, const std::string& path) {
  Config config;
  ConfigReader reader(path, nullptr);
  FileKeyState state;
  state.config = &config;
  if (auto done = read_file_keys(reader, text, &state); !done) return fail(done.error());
  return config;
}

Result<std::vector<ConfigWarning>> check_config(const std::string& text,
                                                const std::string& path) {
  Config config;
  std::vector<ConfigWarning> warnings;
  ConfigReader reader(path, &warnings);
  FileKeyState state;
  state.config = &config;
  if (auto done = read_file_keys(reader, text, &state); !done) return fail(done.error());
  return warnings;
}

}  // namespace gantry
