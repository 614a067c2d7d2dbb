// Chrome's trace format: one complete event a line.
#include "stream/trace.h"

#include <fmt/format.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <utility>

namespace gantry {
namespace {

constexpr const char* kRows[] = {"", "disk", "copy", "compute", "waiting", "experts"};

double micros(Trace::Time::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

// Names are tensors' names: quotes and control characters have no business in them.
std::string plain(const std::string& name) {
  std::string out;
  for (const char c : name) {
    if (c != '"' && c != '\\' && c >= ' ' && c < 127) out += c;
  }
  return out;
}

}  // namespace

void Trace::add(TraceRow row, std::string name, Time from, Time to, uint64_t bytes) {
  if (!on()) return;
  const std::lock_guard lock(mutex_);
  if (events_.size() >= kTraceEventsMax) {
    dropped_++;
    return;
  }
  events_.push_back({row, std::move(name), from, to, bytes});
}

Result<void> Trace::write() {
  if (!on()) return {};
  const std::lock_guard lock(mutex_);
  std::ofstream file(path_, std::ios::binary | std::ios::trunc);
  file << "{\"traceEvents\":[\n";
  for (uint32_t row = 1; row < std::size(kRows); row++) {
    file << fmt::format(
        "{{\"ph\":\"M\",\"pid\":1,\"tid\":{},\"name\":\"thread_name\","
        "\"args\":{{\"name\":\"{}\"}}}},\n",
        row, kRows[row]);
  }
  for (const Event& event : events_) {
    file << fmt::format(
        "{{\"ph\":\"X\",\"pid\":1,\"tid\":{},\"ts\":{:.3f},\"dur\":{:.3f},"
        "\"name\":\"{}\",\"args\":{{\"bytes\":{}}}}},\n",
        static_cast<uint32_t>(event.row), micros(event.from.time_since_epoch()),
        micros(event.to - event.from), plain(event.name), event.bytes);
  }
  file << fmt::format(
      "{{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\","
      "\"args\":{{\"name\":\"gantry\",\"dropped\":{}}}}}\n]}}\n",
      dropped_);
  file.flush();
  if (!file) return fail(os_error("writing " + path_, errno));
  return {};
}

}  // namespace gantry
