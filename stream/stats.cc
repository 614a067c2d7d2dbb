// The statistics page, as JSON and as one line.
#include "stream/stats.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/bytes.h"

namespace gantry {
namespace {

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

// The page lives in raw mapped memory; zeros are valid atomics.
Result<StatsPage*> map(int fd) {
  void* at = mmap(nullptr, sizeof(StatsPage), PROT_READ | PROT_WRITE,
                  fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return fail(os_error("mapping the statistics page", errno));
  return static_cast<StatsPage*>(at);
}

std::string quoted(const char* text, size_t most) {
  std::string out = "\"";
  for (size_t i = 0; i < most && text[i] != '\0'; i++) {
    if (text[i] == '"' || text[i] == '\\' || static_cast<unsigned char>(text[i]) < ' ') continue;
    out += text[i];
  }
  return out + "\"";
}

}  // namespace

Result<MappedStats> MappedStats::make(const std::string& path) {
  if (path.empty()) {
    const auto page = map(-1);
    if (!page) return fail(page.error());
    (*page)->magic = StatsPage::kMagic;
    return MappedStats(*page);
  }
  struct stat old = {};
  const bool exists = stat(path.c_str(), &old) == 0;
  if (exists && (!S_ISREG(old.st_mode) || (old.st_size != 0 && !open(path)))) {
    return fail(Code::kConflict, path + " exists and is no statistics page", "name another file");
  }
  // Made aside: somebody may have the old page mapped.
  const std::string aside = path + "." + std::to_string(getpid());
  const int fd = ::open(aside.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return fail(os_error("creating " + path, errno));
  const bool sized = ftruncate(fd, sizeof(StatsPage)) == 0;
  const auto page = sized ? map(fd) : fail(os_error("sizing " + path, errno));
  close(fd);
  if (page) (*page)->magic = StatsPage::kMagic;
  if (!page || rename(aside.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(aside.c_str());
    return page ? fail(os_error("naming " + path, error)) : fail(page.error());
  }
  return MappedStats(*page);
}

Result<MappedStats> MappedStats::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return fail(os_error("opening " + path, errno));
  struct stat facts = {};
  if (fstat(fd, &facts) != 0 || facts.st_size != static_cast<off_t>(sizeof(StatsPage))) {
    close(fd);
    return fail(Code::kCorrupt, path + " is no statistics page of this version");
  }
  const auto page = map(fd);
  close(fd);
  if (!page) return fail(page.error());
  MappedStats out(*page);
  if (out.page().magic != StatsPage::kMagic) {
    return fail(Code::kCorrupt, path + " is no statistics page");
  }
  return out;
}

MappedStats::MappedStats(MappedStats&& other) noexcept
    : page_(std::exchange(other.page_, nullptr)) {}

MappedStats::~MappedStats() {
  if (page_ != nullptr) munmap(page_, sizeof(StatsPage));
}

std::string stats_json(const StatsPage& page) {
  std::string out = fmt::format(
      "{{\"inner\":{},\"io\":{},\"resident_bytes\":{},\"ring_bytes\":{},\"host_bytes\":{},"
      "\"expert_cache_bytes\":{},\"kv_compute_bytes\":{},\"budget_bytes\":{},\"layers\":{},"
      "\"layers_streamed\":{},\"disk_bytes\":{},\"disk_seconds\":{:.6f},\"copy_bytes\":{},"
      "\"copy_seconds\":{:.6f},\"stall_seconds\":{:.6f},\"compute_seconds\":{:.6f},",
      quoted(page.inner, sizeof page.inner), quoted(page.io, sizeof page.io),
      page.resident_bytes.load(), page.ring_bytes.load(), page.host_bytes.load(),
      page.expert_cache_bytes.load(), page.kv_compute_bytes.load(), page.budget_bytes.load(),
      page.layers.load(), page.layers_streamed.load(), page.disk_bytes.load(),
      seconds(page.disk_ns), page.copy_bytes.load(), seconds(page.copy_ns),
      seconds(page.stall_ns), seconds(page.compute_ns));
  out += fmt::format(
      "\"graphs\":{},\"segments\":{},\"pieces_loaded\":{},\"skips\":{},\"expert_hits\":{},"
      "\"expert_misses\":{},\"expert_bytes\":{},\"expert_used_bytes\":{},"
      "\"cpu_bytes\":{},\"cpu_seconds\":{:.6f},\"shrinks\":{},\"errors\":{},\"per_layer\":[",
      page.graphs.load(), page.segments.load(), page.pieces_loaded.load(), page.skips.load(),
      page.expert_hits.load(), page.expert_misses.load(), page.expert_bytes.load(),
      page.expert_used_bytes.load(), page.cpu_bytes.load(), seconds(page.cpu_ns),
      page.shrinks.load(), page.errors.load());
  const auto layers = std::min<uint64_t>(page.layers + 1, kStatsLayersMax);
  for (uint64_t i = 0; i < layers; i++) {
    const auto& layer = page.per_layer[i];
    out += fmt::format(
        "{}{{\"layer\":{},\"streamed_bytes\":{},\"loaded_bytes\":{},\"stall_seconds\":{:.6f}}}",
        i == 0 ? "" : ",", i, layer.streamed_bytes.load(), layer.loaded_bytes.load(),
        seconds(layer.stall_ns));
  }
  return out + "]}";
}

std::string stats_summary(const StatsPage& page) {
  const uint64_t moved = page.disk_bytes + page.copy_bytes;
  std::string out = fmt::format(
      "gantry: {} of {} layers streamed, resident {}, ring {}", page.layers_streamed.load(),
      page.layers.load(), format_bytes({page.resident_bytes}), format_bytes({page.ring_bytes}));
  if (page.expert_cache_bytes != 0) {
    const uint64_t asked = page.expert_hits + page.expert_misses;
    out += fmt::format(", expert cache {} ({:.0f} % of {} experts found)",
                       format_bytes({page.expert_cache_bytes}),
                       asked == 0 ? 0.0
                                  : 100.0 * static_cast<double>(page.expert_hits) /
                                        static_cast<double>(asked),
                       asked);
  }
  if (moved == 0) return out + "; nothing was moved";
  out += fmt::format("; read {}", format_bytes({page.disk_bytes}));
  if (page.disk_ns != 0) {
    out += fmt::format(" at {:.0f} MB/s ({})",
                       static_cast<double>(page.disk_bytes) / 1e6 / seconds(page.disk_ns),
                       std::string(page.io));
  }
  if (page.copy_bytes != 0) out += fmt::format(", copied {}", format_bytes({page.copy_bytes}));
  // Of the shorter one of moving and computing, the share that went on while the other did.
  const double busy = std::max(seconds(page.disk_ns), seconds(page.copy_ns));
  const double shorter = std::min(busy, seconds(page.compute_ns));
  const double hidden =
      shorter <= 0 ? 1.0 : std::clamp((busy - seconds(page.stall_ns)) / shorter, 0.0, 1.0);
  if (page.cpu_bytes != 0) {
    out += fmt::format(", computed {} on the CPU", format_bytes({page.cpu_bytes}));
  }
  out += fmt::format("; computed {:.2f} s, waited {:.2f} s, overlap {:.0f} %",
                     seconds(page.compute_ns), seconds(page.stall_ns), 100.0 * hidden);
  if (page.errors != 0) out += fmt::format("; {} errors", page.errors.load());
  return out;
}

}  // namespace gantry
