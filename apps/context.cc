// What the subcommands share.
#include "apps/context.h"

#include <unistd.h>

#include <cstdio>

#include "apps/paths.h"

namespace gantry {

Result<Config> CliContext::read_config() const {
  std::map<std::string, std::string> over;
  if (!ram_budget.empty()) over["ram_budget"] = ram_budget;
  if (!vram_budget.empty()) over["vram_budget"] = vram_budget;
  return load_config(os, config, over);
}

Result<AuditOptions> CliContext::audit_options(const Config& settings) const {
  Result<std::string> state = state_directory(os, state_dir);
  if (!state) return fail(state.error());
  return AuditOptions{settings.models_dir, sibling_program(os, "gantry-worker"),
                      join_path(*state, "bench.json")};
}

Result<Machine> CliContext::audited(const Config& settings) const {
  Result<AuditOptions> options = audit_options(settings);
  if (!options) return fail(options.error());
  return audit(os, *options);
}

Result<LinkOptions> CliContext::link_options() const {
  Result<std::string> dir = state_directory(os, state_dir);
  if (!dir) return fail(dir.error());
  LinkOptions options;
  options.state_dir = *dir;
  options.host = host.empty() ? os.env("GANTRY_HOST").value_or("") : host;
  options.config = config.empty() ? "" : absolute_path(config);
  options.ram_budget = ram_budget;
  options.vram_budget = vram_budget;
  options.cancel = &interrupt.flag();
  if (!options.host.empty()) {
    if (Result<http::Address> address = http::parse_address(options.host); !address) {
      return fail(address.error());
    }
  }
  for (const std::string* budget : {&ram_budget, &vram_budget}) {
    if (budget->empty()) continue;
    if (Result<Budget> parsed = parse_budget(*budget); !parsed) return fail(parsed.error());
  }
  return options;
}

Result<DaemonLink> CliContext::open_link() const {
  Result<LinkOptions> options = link_options();
  if (!options) return fail(options.error());
  return DaemonLink::open(os, *options);
}

Result<DaemonLink> CliContext::join_link() const {
  Result<LinkOptions> options = link_options();
  if (!options) return fail(options.error());
  return DaemonLink::join(os, *options);
}

int CliContext::finish(const Result<void>& done) const {
  if (done) return 0;
  const int status = report(done.error());
  return interrupt.signal() != 0 ? 128 + interrupt.signal() : status;
}

int report(const Error& error) {
  std::fprintf(stderr, "gantry: %s\n", describe(error).c_str());
  return exit_code(error.code);
}

Result<void> print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(os_error("cannot write the output", errno));
    text.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

}  // namespace gantry
