// Finding, starting and talking to the daemon.
#include "apps/daemon_link.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/paths.h"
#include "base/clock.h"

namespace gantry {

namespace {

constexpr Millis kStartMax{60'000};
constexpr Millis kPoll{10};

Error refused(const http::Response& response, std::string_view body) {
  const nlohmann::json parsed = nlohmann::json::parse(body, nullptr, false);
  if (parsed.is_object() && parsed.contains("error") && parsed["error"].is_object()) {
    const nlohmann::json& error = parsed["error"];
    const auto text = [&error](const char* key) {
      return error.contains(key) && error[key].is_string() ? error[key].get<std::string>() : "";
    };
    return {code_from_name(text("code")), text("message"), {}};
  }
  return {Code::kUnavailable, fmt::format("the daemon answered with status {}", response.status),
          "look into its log, gantryd.log in the state directory"};
}

// Is it our daemon that answers there?
Result<nlohmann::json> health(const http::Address& address) {
  http::FetchOptions options;
  options.connect_timeout = Millis(1'000);
  options.idle_timeout = Millis(10'000);
  Result<http::Response> got = http::fetch(address, {"GET", "/health", {}, {}}, options);
  if (!got) return fail(got.error());
  const nlohmann::json body = nlohmann::json::parse(got->body, nullptr, false);
  if (got->status != 200 || !body.is_object() || !body.contains("status")) {
    return fail(Code::kUnavailable,
                fmt::format("what answers at {} is not gantryd", address.text()),
                "choose another port with --host");
  }
  return body;
}

std::string last_words(Os& os, const std::string& log) {
  Result<std::string> text = os.read_file(log, MiB(64));
  if (!text) return {};
  while (text->ends_with('\n')) text->pop_back();
  std::string line = text->substr(text->rfind('\n') + 1);
  if (line.starts_with("gantry: ")) line.erase(0, 8);
  return line;
}

Code code_of_exit(int status) {
  switch (status) {
    case 2:
      return Code::kUsage;
    case 3:
      return Code::kDoesNotFit;
    case 4:
      return Code::kUnavailable;
    default:
      return Code::kIo;
  }
}

std::vector<std::string> daemon_argv(Os& os, const LinkOptions& o) {
  std::vector<std::string> argv = {sibling_program(os, "gantryd"), "--state-dir", o.state_dir,
                                   "--shared"};
  const auto add = [&argv](const char* flag, const std::string& value) {
    if (value.empty()) return;
    argv.emplace_back(flag);
    argv.push_back(value);
  };
  add("--listen", o.host);
  add("--config", o.config);
  add("--ram-budget", o.ram_budget);
  add("--vram-budget", o.vram_budget);
  return argv;
}

bool cancelled(const LinkOptions& options) {
  return options.cancel != nullptr && options.cancel->load();
}

// Starts gantryd and waits for its door to open. Two clients may do this at once: one daemon wins
// the state directory, the other leaves with "busy", and both clients join the winner.
Result<void> start_daemon(Os& os, const LinkOptions& options, const http::Address& door) {
  if (cancelled(options)) return fail(Code::kCancelled, "interrupted");
  if (Result<void> made = os.make_dirs(options.state_dir, 0700); !made) return made;
  const std::string log = join_path(options.state_dir, "gantryd.start.log");
  if (os.stat(log)) {
    if (Result<void> removed = os.remove(log); !removed) return removed;
  }
  Result<std::unique_ptr<Process>> daemon = os.spawn(
      {.argv = daemon_argv(os, options), .output_file = log, .detached = true});
  if (!daemon) return fail(daemon.error());
  const RealClock clock;
  const Millis deadline = clock.steady() + kStartMax;
  std::optional<Millis> gone_since;
  for (;;) {
    if (health(door)) return {};
    if (cancelled(options)) return fail(Code::kCancelled, "interrupted");
    const std::optional<Exit> exit = (*daemon)->wait(kPoll);
    if (exit && !gone_since) gone_since = clock.steady();
    if (exit && (exit->status != 4 || clock.steady() - *gone_since > Millis(2'000))) {
      const std::string words = last_words(os, log);
      return fail(code_of_exit(exit->status),
                  words.empty() ? "gantryd did not start: " + exit->text() : words);
    }
    if (clock.steady() > deadline) {
      return fail(Code::kTimeout, "gantryd did not come up in a minute", "look into " + log);
    }
    if (exit) os.sleep(kPoll);
  }
}

// Budgets belong to the daemon, so a second client cannot have others.
Result<void> same_budgets(const DaemonLink& link, const LinkOptions& options) {
  if (options.ram_budget.empty() && options.vram_budget.empty()) return {};
  Result<nlohmann::json> running = link.call("GET", "/running", "");
  if (!running) return fail(running.error());
  const auto differs = [&running](const char* key, const std::string& wanted) {
    if (wanted.empty()) return false;
    const auto found = running->find(key);
    return found == running->end() || !found->is_string() || *found != wanted;
  };
  if (differs("ram_budget", options.ram_budget) || differs("vram_budget", options.vram_budget)) {
    return fail(Code::kConflict, "the daemon runs already, under another budget",
                "run `gantry stop` first, or leave the budget out");
  }
  return {};
}

Result<http::Address> remote_address(const LinkOptions& options) {
  Result<http::Address> address = http::parse_address(options.host);
  if (!address) return fail(address.error());
  return *address;
}

}  // namespace

Result<DaemonLink> DaemonLink::join(Os& os, const LinkOptions& options) {
  if (!options.host.empty()) {
    Result<http::Address> remote = remote_address(options);
    if (!remote) return fail(remote.error());
    if (!remote->loopback()) {
      Result<nlohmann::json> answered = health(*remote);
      if (!answered) return fail(answered.error());
      return DaemonLink(*remote, options.cancel);
    }
  }
  Result<std::string> runtime = runtime_directory(os, options.state_dir);
  if (!runtime) return fail(runtime.error());
  const http::Address door{socket_path(*runtime), {}, 0};
  if (Result<nlohmann::json> answered = health(door); !answered) {
    if (answered.error().code != Code::kUnavailable) return fail(answered.error());
    return fail(Code::kUnavailable, "no daemon runs for " + options.state_dir,
                "any command that needs it starts it, or run `gantry serve`");
  }
  return DaemonLink(door, options.cancel);
}

Result<DaemonLink> DaemonLink::open(Os& os, const LinkOptions& options) {
  Result<DaemonLink> joined = join(os, options);
  if (joined) {
    if (Result<void> same = same_budgets(*joined, options); !same) return fail(same.error());
    return joined;
  }
  if (joined.error().code != Code::kUnavailable) return joined;
  if (!options.host.empty()) {
    Result<http::Address> remote = remote_address(options);
    if (!remote) return fail(remote.error());
    if (!remote->loopback()) return joined;  // we do not start daemons on other machines
  }
  Result<std::string> runtime = runtime_directory(os, options.state_dir);
  if (!runtime) return fail(runtime.error());
  const http::Address door{socket_path(*runtime), {}, 0};
  if (Result<void> started = start_daemon(os, options, door); !started) {
    return fail(started.error());
  }
  return DaemonLink(door, options.cancel);
}

http::Request DaemonLink::request(const std::string& method, const std::string& target,
                                  const std::string& body) const {
  http::Request out{method, target, {}, body};
  if (!body.empty()) out.headers.emplace_back("Content-Type", "application/json");
  return out;
}

Result<nlohmann::json> DaemonLink::call(const std::string& method, const std::string& target,
                                        const std::string& body) const {
  http::FetchOptions options;
  options.cancel = cancel_;
  Result<http::Response> got = http::fetch(address_, request(method, target, body), options);
  if (!got) return fail(got.error());
  if (got->status >= 400) return fail(refused(*got, got->body));
  nlohmann::json parsed = nlohmann::json::parse(got->body, nullptr, false);
  if (parsed.is_discarded()) return fail(Code::kCorrupt, "the daemon's answer is not JSON");
  return parsed;
}

Result<std::string> DaemonLink::bytes(const std::string& target) const {
  http::FetchOptions options;
  options.cancel = cancel_;
  Result<http::Response> got = http::fetch(address_, request("GET", target, ""), options);
  if (!got) return fail(got.error());
  if (got->status >= 400) return fail(refused(*got, got->body));
  return std::move(got->body);
}

Result<void> DaemonLink::stream(const std::string& target, const std::string& body,
                                const std::function<bool(std::string_view)>& on_piece) const {
  http::FetchOptions options;
  options.cancel = cancel_;
  http::Response head;
  std::string error_body;
  bool left = false;
  options.on_head = [&head](const http::Response& got) {
    head = got;
    return true;
  };
  options.on_piece = [&](std::string_view piece) {
    if (head.status >= 400) {
      error_body += piece;
      return error_body.size() < MiB(1).n;
    }
    left = !on_piece(piece);
    return !left;
  };
  const http::Request asked = request(body.empty() ? "GET" : "POST", target, body);
  const Result<http::Response> got = http::fetch(address_, asked, options);
  if (left) return {};
  if (!got) return fail(got.error());
  if (head.status >= 400) return fail(refused(head, error_body));
  return {};
}

Result<void> DaemonLink::events(const std::string& target,
                                const std::function<bool(std::string_view)>& on_event) const {
  std::string pending;
  return stream(target, "", [&](std::string_view piece) {
    pending += piece;
    for (size_t end = 0; (end = pending.find('\n')) != std::string::npos;) {
      std::string line = pending.substr(0, end);
      pending.erase(0, end + 1);
      if (line.ends_with('\r')) line.pop_back();
      if (!line.starts_with("data:")) continue;
      line.erase(0, line.starts_with("data: ") ? 6 : 5);
      if (!on_event(line)) return false;
    }
    return true;
  });
}

}  // namespace gantry
