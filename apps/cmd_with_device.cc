// with-device: any program under a lease of the daemon's, beside or instead of models.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/moment.h"
#include "apps/paths.h"
#include "base/bytes.h"

namespace gantry {

namespace {

struct WithFlags final : Flags {
  std::string device, need, limit;
  bool whole = false;
  int priority = 0;
  std::vector<std::string> command;
};

// The daemon's socket, kept open over exec: the lease ends when the last process that has it ends,
// so the command is its own witness and needs nobody to watch it.
Result<int> dial(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return fail(os_error("cannot make a socket", errno));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int err = errno;
    ::close(fd);
    return fail(os_error("cannot reach the daemon at " + path, err));
  }
  return fd;
}

Result<void> send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(os_error("cannot ask the daemon", errno));
    text.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

// What has come so far, as a lease or the daemon's refusal; nothing while it is not whole.
std::optional<Result<nlohmann::json>> parse_answer(const std::string& text) {
  const size_t head = text.find("\r\n\r\n");
  if (head == std::string::npos) return std::nullopt;
  const size_t data = text.find("data: ", head);
  const size_t end = data == std::string::npos ? data : text.find("\n\n", data);
  if (end != std::string::npos) {
    nlohmann::json granted =
        nlohmann::json::parse(text.substr(data + 6, end - data - 6), nullptr, false);
    if (granted.is_object()) return granted;
  }
  if (text.starts_with("HTTP/1.1 200")) return std::nullopt;
  const size_t brace = text.find('{', head);
  const nlohmann::json body = brace == std::string::npos
                                  ? nlohmann::json()
                                  : nlohmann::json::parse(text.substr(brace), nullptr, false);
  if (!body.is_object() || !body.contains("error")) return std::nullopt;
  const nlohmann::json& error = body["error"];
  return fail(code_from_name(error.value("code", "internal")), error.value("message", "refused"),
              error.value("remedy", ""));
}

Result<nlohmann::json> wait_for_lease(int fd, const WithFlags& flags, const http::Cancel& cancel) {
  constexpr size_t kAnswerMax = 1 << 20;
  constexpr int kTellAfterMs = 1000;
  std::string text;
  bool told = false;
  for (int waited = 0;;) {
    if (cancel) return fail(Code::kCancelled, "interrupted while waiting for " + flags.device);
    pollfd watch{fd, POLLIN, 0};
    constexpr int kSlice = 100;
    if (::poll(&watch, 1, kSlice) <= 0) {
      waited += kSlice;
      if (!told && waited >= kTellAfterMs) {
        std::fprintf(stderr, "waiting for %s; see `gantry ps`\n", flags.device.c_str());
        told = true;
      }
      continue;
    }
    std::array<char, 4096> chunk{};
    const ssize_t n = ::recv(fd, chunk.data(), chunk.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n > 0) text.append(chunk.data(), static_cast<size_t>(n));
    if (auto answer = parse_answer(text)) return *std::move(answer);
    if (n <= 0 || text.size() > kAnswerMax) {
      return fail(Code::kUnavailable, "the daemon hung up", "see `gantry logs`");
    }
  }
}

// Becomes the command. Returns only when that fails.
Error become(const nlohmann::json& lease, const std::vector<std::string>& command) {
  const nlohmann::json environment = lease.value("environment", nlohmann::json::object());
  for (const auto& [name, value] : environment.items()) {
    if (value.is_string()) ::setenv(name.c_str(), value.get<std::string>().c_str(), 1);
  }
  ::setenv("GANTRY_LEASE_DEVICE", lease.value("device", "").c_str(), 1);
  ::setenv("GANTRY_LEASE_BYTES", std::to_string(lease.value("bytes", uint64_t{0})).c_str(), 1);
  std::vector<std::string> argv = command;
  std::vector<char*> pointers;
  for (std::string& arg : argv) pointers.push_back(arg.data());
  pointers.push_back(nullptr);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
  ::execvp(pointers[0], pointers.data());
  return os_error("cannot start " + command[0], errno);
}

Result<void> with_device(const CliContext& context, const WithFlags& flags) {
  nlohmann::json wish = {{"device", flags.device},
                         {"pid", ::getpid()},
                         {"program", base_name(flags.command[0])},
                         {"whole", flags.whole},
                         {"priority", flags.priority}};
  if (!flags.whole) {
    if (flags.need.empty()) {
      return fail(Code::kUsage, "how much of the device?", "--need 5GiB, or --whole");
    }
    Result<Bytes> need = parse_bytes(flags.need);
    if (!need) return fail(need.error());
    wish["bytes"] = need->n;
  }
  if (!flags.limit.empty()) {
    const Result<WallTime> end = parse_moment("+" + flags.limit, WallTime{});
    if (!end) return fail(Code::kUsage, "--for " + flags.limit + " is no time", "90s, 30m or 2h");
    wish["limit_s"] = end->time_since_epoch().count() / 1000;
  }
  if (Result<DaemonLink> link = context.open_link(); !link) return fail(link.error());
  Result<LinkOptions> options = context.link_options();
  if (!options) return fail(options.error());
  Result<std::string> runtime = runtime_directory(context.os, options->state_dir);
  if (!runtime) return fail(runtime.error());
  Result<int> fd = dial(socket_path(*runtime));
  if (!fd) return fail(fd.error());
  const std::string body = wish.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  Result<void> asked = send_all(
      *fd, fmt::format("POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                       "application/json\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
  Result<nlohmann::json> lease = fail(Code::kInternal, "not asked");
  if (asked) lease = wait_for_lease(*fd, flags, context.interrupt.flag());
  if (asked && lease) return fail(become(*lease, flags.command));
  ::close(*fd);
  return fail(asked ? lease.error() : asked.error());
}

}  // namespace

void add_with_device(CLI::App& app, CliContext& context) {
  WithFlags& flags = context.keep<WithFlags>();
  CLI::App* command = app.add_subcommand(
      "with-device", "Run any program while a device, or a part of its memory, is kept for it");
  command->add_option("device", flags.device, "gpu0, cpu, ...")->required();
  command->add_option("command", flags.command, "The program and its arguments, behind --")
      ->required();
  command->add_option("--need", flags.need, "Bytes of the device: 5GiB")->type_name("SIZE");
  command->add_flag("--whole", flags.whole, "Nobody else on the device");
  command->add_option("--for", flags.limit,
                      "How long at most: then it is told to end (SIGTERM), 10 s later ended")
      ->type_name("2h");
  command->add_option("--priority", flags.priority, "Higher goes first")
      ->check(CLI::Range(-100, 100));
  command->footer("Examples:\n  gantry with-device gpu0 --need 5GiB -- python3 train.py\n"
                  "  gantry with-device gpu0 --whole --for 2h -- blender -b scene.blend -a\n"
                  "Exit status: the program's own.");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(with_device(context, flags)); };
  });
}

}  // namespace gantry
