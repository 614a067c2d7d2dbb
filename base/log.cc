// Logging through spdlog's sinks; each Log owns its own, nothing is registered globally.
#include "base/log.h"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>

namespace gantry {

namespace {

bool plain(std::string_view value) {
  return !value.empty() && std::ranges::all_of(value, [](char c) {
    return c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7f;
  });
}

std::string quoted(std::string_view value) {
  std::string out = "\"";
  for (char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

class SpdLog final : public Log {
 public:
  explicit SpdLog(spdlog::sink_ptr sink) : logger_("gantry", std::move(sink)) {
    logger_.set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    logger_.flush_on(spdlog::level::info);
  }
  void info(std::string_view event, LogFields fields) override {
    logger_.info("{}", format_fields(event, fields));
  }
  void warn(std::string_view event, LogFields fields) override {
    logger_.warn("{}", format_fields(event, fields));
  }
  void error(std::string_view event, LogFields fields) override {
    logger_.error("{}", format_fields(event, fields));
  }

 private:
  spdlog::logger logger_;
};

}  // namespace

std::string format_fields(std::string_view event, LogFields fields) {
  std::string line(event);
  for (const auto& [key, value] : fields) {
    line += fmt::format(" {}={}", key, plain(value) ? value : quoted(value));
  }
  return line;
}

Result<std::unique_ptr<Log>> open_log(const std::string& path, Bytes max) {
  try {
    return std::make_unique<SpdLog>(
        std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path, max.n, 1));
  } catch (const spdlog::spdlog_ex& e) {
    return fail(Code::kIo, fmt::format("cannot write the log {}: {}", path, e.what()),
                "check the folder's owner and free space");
  }
}

std::unique_ptr<Log> stderr_log() {
  return std::make_unique<SpdLog>(std::make_shared<spdlog::sinks::stderr_sink_mt>());
}

std::unique_ptr<Log> silent_log() {
  return std::make_unique<SpdLog>(std::make_shared<spdlog::sinks::null_sink_mt>());
}

}  // namespace gantry
