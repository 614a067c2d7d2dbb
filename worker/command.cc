// Splits the command line, finds a port, and starts it like any other worker.
#include "worker/command.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "base/rng.h"
#include "worker/audio_command.h"
#include "worker/child.h"
#include "worker/http_worker.h"

namespace gantry {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// The state of one pass over the text.
class Splitter {
 public:
  explicit Splitter(std::string_view text) : text_(text) {}

  Result<std::vector<std::string>> run() {
    for (at_ = 0; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\'' || c == '"') {
        if (!quoted(c)) return fail(Code::kUsage, "the command has an open quote", "close it");
      } else if (c == '\\') {
        escaped();
      } else if (is_blank(c)) {
        end_word();
      } else if (c == '#' && !in_word_) {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else {
        put(c);
      }
    }
    end_word();
    if (words_.empty()) return fail(Code::kUsage, "the command is empty", "name a program");
    return std::move(words_);
  }

 private:
  void put(char c) {
    word_ += c;
    in_word_ = true;
  }
  void end_word() {
    if (in_word_) words_.push_back(std::move(word_));
    word_.clear();
    in_word_ = false;
  }
  void escaped() {
    if (at_ + 1 < text_.size() && text_[at_ + 1] == '\r') ++at_;
    if (at_ + 1 >= text_.size()) return;
    ++at_;
    if (text_[at_] != '\n') put(text_[at_]);  // at the end of a line: goes on in the next
  }
  bool quoted(char quote) {
    in_word_ = true;  // '' is a word
    for (++at_; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == quote) return true;
      if (quote == '"' && c == '\\' && at_ + 1 < text_.size() &&
          (text_[at_ + 1] == '"' || text_[at_ + 1] == '\\')) {
        c = text_[++at_];
      }
      put(c);
    }
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool in_word_ = false;
  std::string word_;
  std::vector<std::string> words_;
};

Result<http::Address> proxy_address(const WorkerContext& context, const WorkerSpec& spec,
                                    uint16_t port) {
  if (spec.proxy == kOwnSocket) {
    Rng rng = Rng::from_system();
    return http::Address{join_path(context.run_dir,
                                   fmt::format("{:08x}.sock", rng.next() & 0xFFFFFFFF))};
  }
  std::string text = with_port(spec.proxy, port);
  if (text.empty()) text = "127.0.0.1:" + std::to_string(port);
  if (text.starts_with("http://")) text.erase(0, 7);
  while (text.ends_with('/')) text.pop_back();
  Result<http::Address> address = http::parse_address(text);
  if (address && !address->loopback() && address->host != "localhost") {
    return fail(Code::kPermission, "the proxy of " + spec.model + " is not on this machine",
                "use http://127.0.0.1:${PORT}");
  }
  return address;
}

// Our own programs are beside our others. The relay is the one command that gets a variable of ours
// without its value standing in the configuration: the key that it is told to look for. The NPU
// worker keeps compiled blobs, beside the logs that it writes.
void know_ours(Os& os, const WorkerContext& context, ProcessSpec* process) {
  constexpr std::string_view kRelay = "gantry-relay", kNpu = "gantry-npu";
  std::vector<std::string>& argv = process->argv;
  const bool npu = argv.front() == kNpu;
  if (!npu && argv.front() != kRelay) return;
  argv.front() = join_path(dir_name(context.worker_exe), argv.front());
  if (npu) {
    const std::string state = dir_name(context.log_dir);
    argv.insert(argv.end(),
                {"--state-dir", state, "--cache-dir", join_path(state, "openvino")});
    return;
  }
  const auto flag = std::ranges::find(argv, "--key-env");
  if (flag == argv.end() || flag + 1 == argv.end()) return;
  if (const auto key = os.env(*(flag + 1))) process->env.emplace_back(*(flag + 1), *key);
}

}  // namespace

Result<std::vector<std::string>> split_command(std::string_view text) {
  if (text.size() > kCommandMax || text.find('\0') != std::string_view::npos) {
    return fail(Code::kUsage, "the command is too long or holds a zero byte", "shorten it");
  }
  return Splitter(text).run();
}

std::string with_port(std::string_view text, uint16_t port) {
  constexpr std::string_view kMacro = "${PORT}";
  std::string out(text);
  const std::string digits = std::to_string(port);
  for (size_t at = 0; (at = out.find(kMacro, at)) != std::string::npos; at += digits.size()) {
    out.replace(at, kMacro.size(), digits);
  }
  return out;
}

Result<uint16_t> free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(os_error("cannot open a socket", errno));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool bound = ::bind(fd, generic, size) == 0 && ::getsockname(fd, generic, &size) == 0;
  const int err = errno;
  ::close(fd);
  if (!bound) return fail(os_error("cannot find a free port", err));
  return ntohs(address.sin_port);
}

Result<std::unique_ptr<Worker>> start_command(Os& os, const WorkerContext& context,
                                              const WorkerSpec& spec) {
  const Result<uint16_t> port = free_port();
  if (!port) return fail(port.error());
  Result<http::Address> address = proxy_address(context, spec, *port);
  if (!address) return fail(address.error());
  Result<std::vector<std::string>> argv = split_command(with_port(spec.command, *port));
  if (!argv) {
    Error error = argv.error();
    error.message = spec.model + ": " + error.message;
    return fail(std::move(error));
  }
  ProcessSpec process = worker_process(context, spec.model);
  process.gate = spec.gate;
  process.argv = std::move(*argv);
  know_ours(os, context, &process);
  if (spec.proxy == kOwnSocket) {
    process.argv.insert(process.argv.end(), {"--socket", address->unix_path});
  }
  for (const auto& [name, value] : spec.env) {
    process.env.emplace_back(name, with_port(value, *port));
  }
  Result<std::unique_ptr<Child>> child = Child::start(os, process, "the command of " + spec.model);
  if (!child) return fail(child.error());
  const std::string health = spec.check_endpoint == "none" ? "" : spec.check_endpoint;
  std::unique_ptr<Worker> server = make_http_worker(os, std::move(*child), {*address, health});
  if (spec.voice.engine.empty()) return server;
  return make_audio_command(std::move(server), spec, {});
}

}  // namespace gantry
