// Lines are written whole, whatever interrupts them.
#include "worker/events.h"

#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gantry {

namespace {

bool write_line(int fd, std::string text) {
  text += '\n';
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t n = ::write(fd, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    rest.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

std::string dump(const nlohmann::json& event) {
  return event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

int events_to(int out, const std::function<Result<void>(const OnEvent&)>& work) {
  const Result<void> done =
      work([out](const nlohmann::json& event) { write_line(out, dump(event)); });
  if (done) return 0;
  const Error& error = done.error();
  write_line(out, dump({{"event", "error"},
                        {"code", code_name(error.code)},
                        {"message", error.message},
                        {"remedy", error.remedy}}));
  write_line(STDERR_FILENO, "gantry: " + describe(error));
  return exit_code(error.code);
}

}  // namespace gantry
