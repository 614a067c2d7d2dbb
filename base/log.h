// Log: one structured line per event, `time level event key=value ...`. Never prompt, audio or key
// bytes. Thread-safe.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"

namespace gantry {

using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;

class Log {
 public:
  virtual ~Log() = default;
  virtual void info(std::string_view event, LogFields fields) = 0;
  virtual void warn(std::string_view event, LogFields fields) = 0;
  virtual void error(std::string_view event, LogFields fields) = 0;
};

// A file of at most max bytes, with one older beside it (name.1). Flushed line by line.
[[nodiscard]] Result<std::unique_ptr<Log>> open_log(const std::string& path, Bytes max);
std::unique_ptr<Log> stderr_log();
std::unique_ptr<Log> silent_log();

// key=value, quoted and escaped where it holds spaces, quotes or control characters.
std::string format_fields(std::string_view event, LogFields fields);

}  // namespace gantry
