// Measured bandwidths. The readings go around the seam: they measure the machine itself.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <system_error>
#include <thread>
#include <utility>

#include "audit/facts.h"

namespace gantry {

namespace {

using nlohmann::json;
using SteadyClock = std::chrono::steady_clock;

constexpr int kPasses = 5;
constexpr size_t kReadBlock = 4U << 20;  // large enough that a disk's queue stays busy
constexpr size_t kReadAlign = 4096;      // what O_DIRECT wants at most
constexpr auto kDiskTime = std::chrono::milliseconds(1'200);
constexpr Bytes kDiskFileMin = MiB(64);
constexpr Bytes kDiskFileNew = MiB(128);

struct Free {
  void operator()(void* bytes) const { std::free(bytes); }
};

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Bytes of the largest cache, so that the buffer can be several times that.
Bytes largest_cache(Os& os) {
  Bytes most = MiB(32);
  for (int index = 0; index < 5; ++index) {
    const std::string text = read_fact(
        os, "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size");
    if (const auto size = text.empty() ? Result<Bytes>(Bytes{}) : parse_bytes(text + "iB")) {
      most = std::max(most, *size);  // the kernel writes "32768K"
    }
  }
  return most;
}

uint64_t sum_of(const uint64_t* words, size_t n) {
  std::array<uint64_t, 8> sums{};  // independent chains: the loads are the limit, not the adds
  for (size_t i = 0; i + 8 <= n; i += 8) {
    for (size_t lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
  }
  return std::accumulate(sums.begin(), sums.end(), uint64_t{0});
}

// One pass of all threads over the buffer, in bytes per second.
double read_pass(const uint64_t* words, size_t n, uint32_t threads, uint64_t* sink) {
  std::vector<uint64_t> sums(threads);
  std::vector<std::thread> pool;
  const auto start = SteadyClock::now();
  for (uint32_t t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      const size_t begin = n / threads * t;
      sums[t] = sum_of(words + begin, n / threads);
    });
  }
  for (std::thread& thread : pool) thread.join();
  const double seconds = seconds_since(start);
  *sink += std::accumulate(sums.begin(), sums.end(), uint64_t{0});
  return static_cast<double>(n / threads * threads * sizeof(uint64_t)) / seconds;
}

std::optional<double> measure_memory(Os& os, const Machine& machine) {
  const uint64_t wanted = std::clamp<uint64_t>(4 * largest_cache(os).n, MiB(192).n, MiB(768).n);
  const uint64_t bytes = std::min(wanted, machine.memory.usable().n / 4);
  if (bytes < MiB(16).n) return std::nullopt;
  const size_t n = bytes / kReadAlign * (kReadAlign / sizeof(uint64_t));
  const std::unique_ptr<uint64_t[], Free> words(
      static_cast<uint64_t*>(std::aligned_alloc(kReadAlign, n * sizeof(uint64_t))));
  if (!words) return std::nullopt;
  for (size_t i = 0; i < n; ++i) words[i] = i;  // every page is its own
  std::vector<double> rates;
  uint64_t sink = 0;
  try {
    for (int pass = 0; pass < kPasses; ++pass) {
      rates.push_back(read_pass(words.get(), n, std::max(machine.cpu.threads, 1U), &sink));
    }
  } catch (const std::system_error&) {
    return std::nullopt;  // no thread to be had
  }
  return sink == 0 ? std::nullopt : std::optional<double>(median(rates));
}

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

using Block = std::unique_ptr<std::byte[], Free>;

Block aligned_block() {
  return Block(static_cast<std::byte*>(std::aligned_alloc(kReadAlign, kReadBlock)));
}

// Reads past the page cache; where the file system refuses O_DIRECT, the cache is dropped first.
std::optional<double> read_file_speed(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  Block block = aligned_block();
  if (!block) return std::nullopt;
  if (!file.ok() || pread(file.get(), block.get(), kReadAlign, 0) < 0) {
    file = Descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.ok()) return std::nullopt;
    posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
  const auto start = SteadyClock::now();
  uint64_t bytes = 0;
  off_t at = 0;
  while (SteadyClock::now() - start < kDiskTime) {
    const ssize_t n = pread(file.get(), block.get(), kReadBlock, at);
    if (n <= 0) break;
    bytes += static_cast<uint64_t>(n);
    at += n;
    if (static_cast<size_t>(n) < kReadBlock) break;  // the unaligned end
  }
  const double seconds = seconds_since(start);
  if (bytes == 0 || seconds <= 0) return std::nullopt;
  return static_cast<double>(bytes) / seconds;
}

// The largest model is what loading will read; a folder of small ones says too little.
std::string largest_file(Os& os, const std::string& dir) {
  std::string best;
  Bytes most = kDiskFileMin;
  const auto names = os.list(dir);
  if (!names) return best;
  for (const std::string& name : *names) {
    const std::string path = join_path(dir, name);
    const auto info = os.stat(path);
    if (!info || info->is_dir || info->size < most) continue;
    most = info->size;
    best = path;
  }
  return best;
}

// An unlinked-on-return file of fresh bytes on the same disk.
std::optional<double> new_file_speed(Os& os, const std::string& dir) {
  if (os.free_space(dir).value_or(Bytes{}) < Bytes{4 * kDiskFileNew.n}) return std::nullopt;
  std::string path = join_path(dir, ".gantry-bench-XXXXXX");
  Descriptor file(mkostemp(path.data(), O_CLOEXEC));
  if (!file.ok()) return std::nullopt;
  std::optional<double> speed;
  if (Block block = aligned_block()) {
    std::memset(block.get(), 0x5A, kReadBlock);
    bool written = true;
    for (uint64_t at = 0; written && at < kDiskFileNew.n; at += kReadBlock) {
      std::memcpy(block.get(), &at, sizeof at);
      written = write(file.get(), block.get(), kReadBlock) == static_cast<ssize_t>(kReadBlock);
    }
    if (written && fdatasync(file.get()) == 0) speed = read_file_speed(path);
  }
  unlink(path.c_str());
  return speed;
}

std::optional<double> measure_disk(Os& os, const AuditOptions& options) {
  if (options.models_dir.empty()) return std::nullopt;
  const std::string file = largest_file(os, options.models_dir);
  if (!file.empty()) return read_file_speed(file);
  if (const auto speed = new_file_speed(os, options.models_dir)) return speed;
  const std::string beside = dir_name(options.bench_file);
  return options.bench_file.empty() ? std::nullopt : new_file_speed(os, beside);
}

void apply(const Bench& bench, Machine* machine) {
  if (bench.memory_bytes_per_s) {
    machine->devices.front().bandwidth.memory_bytes_per_s = bench.memory_bytes_per_s;
  }
  if (bench.disk_bytes_per_s && bench.disk_path == machine->disk.path) {
    machine->disk.read_bytes_per_s = bench.disk_bytes_per_s;
  }
}

}  // namespace

std::string machine_mark(const Machine& machine) {
  // Total memory in GiB: kernels reserve a little more or less at each start.
  return machine.cpu.model + " / " + std::to_string(machine.cpu.threads) + " / " +
         std::to_string((machine.memory.total.n + GiB(1).n / 2) / GiB(1).n) + " GiB";
}

Result<void> save_bench(Os& os, const std::string& file, const Machine& machine,
                        const Bench& bench) {
  json saved = {{"version", 1}, {"machine", machine_mark(machine)}};
  if (bench.memory_bytes_per_s) saved["memory_bytes_per_s"] = *bench.memory_bytes_per_s;
  if (bench.disk_bytes_per_s) {
    saved["disk_path"] = bench.disk_path;
    saved["disk_bytes_per_s"] = *bench.disk_bytes_per_s;
  }
  const std::string dir = dir_name(file);
  if (!dir.empty()) {
    if (auto made = os.make_dirs(dir, 0700); !made) return made;
  }
  return os.write_file(file, saved.dump(2, ' ', false, json::error_handler_t::replace) + "\n",
                       0600);
}

void merge_bench(Os& os, const std::string& file, Machine* machine) {
  const json saved = json::parse(read_fact(os, file), nullptr, false);
  if (!saved.is_object() || saved.value("version", json()) != 1) return;
  if (saved.value("machine", json()) != machine_mark(*machine)) return;  // other hardware now
  const auto rate = [&](const char* key) -> std::optional<double> {
    const auto found = saved.find(key);
    if (found == saved.end() || !found->is_number()) return std::nullopt;
    const double value = found->get<double>();
    return value > 0 && value < 1e15 ? std::optional<double>(value) : std::nullopt;
  };
  Bench bench;
  bench.memory_bytes_per_s = rate("memory_bytes_per_s");
  bench.disk_bytes_per_s = rate("disk_bytes_per_s");
  if (const auto path = saved.find("disk_path"); path != saved.end() && path->is_string()) {
    bench.disk_path = path->get<std::string>();
  }
  apply(bench, machine);
}

Result<void> bench(Os& os, const AuditOptions& options, Machine* machine) {
  if (machine->devices.empty()) return fail(Code::kInternal, "a machine without a CPU device");
  Bench found;
  found.memory_bytes_per_s = measure_memory(os, *machine);
  found.disk_bytes_per_s = measure_disk(os, options);
  found.disk_path = machine->disk.path;
  apply(found, machine);
  write_verdicts(machine);
  if (options.bench_file.empty()) return {};
  return save_bench(os, options.bench_file, *machine, found);
}

}  // namespace gantry
