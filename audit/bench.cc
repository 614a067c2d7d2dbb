// Measured bandwidths. The readings go around the seam: they measure the machine itself.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <array>
#include <atomic>
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
constexpr size_t kHugePage = 2U << 20;
constexpr size_t kReadsAtOnce = 4;
constexpr size_t kLoadBlock = 8U << 20;  // a matrix
constexpr Bytes kDiskFileMin = MiB(64);
constexpr Bytes kDiskFileNew = MiB(128);

constexpr Bytes kBenchFileMax = MiB(1);
constexpr int kBenchVersion = 2;
constexpr size_t kMachinesMax = 32;  // a home folder that several of them share
constexpr size_t kRatesMax = 64;
constexpr double kNumberMost = 1e18;

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
  return Block(static_cast<std::byte*>(std::aligned_alloc(kHugePage, kReadBlock)));
}

// What a disk reads for a streamer: several direct reads at once, into huge pages. Where the file
// system refuses O_DIRECT, the cache is dropped first.
struct Reading {
  int fd = -1;
  std::atomic<uint64_t> next = 0, bytes = 0;
  SteadyClock::time_point until;
};

void read_blocks(Reading* reading) {
  const Block block = aligned_block();
  if (!block) return;
  madvise(block.get(), kReadBlock, MADV_HUGEPAGE);
  std::memset(block.get(), 1, kReadBlock);
  while (SteadyClock::now() < reading->until) {
    const uint64_t at = reading->next.fetch_add(kReadBlock);
    const ssize_t n = pread(reading->fd, block.get(), kReadBlock, static_cast<off_t>(at));
    if (n <= 0) return;
    reading->bytes += static_cast<uint64_t>(n);
    if (static_cast<size_t>(n) < kReadBlock) return;  // the unaligned end
  }
}

std::optional<double> read_file_speed(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  const Block block = aligned_block();
  if (!block) return std::nullopt;
  if (!file.ok() || pread(file.get(), block.get(), kReadAlign, 0) < 0) {
    file = Descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.ok()) return std::nullopt;
    posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
  Reading reading;
  reading.fd = file.get();
  const auto start = SteadyClock::now();
  reading.until = start + kDiskTime;
  std::vector<std::thread> pool;
  try {
    for (size_t i = 0; i < kReadsAtOnce; ++i) pool.emplace_back(read_blocks, &reading);
  } catch (const std::system_error&) {
    for (std::thread& thread : pool) thread.join();
    return std::nullopt;  // no thread to be had
  }
  for (std::thread& thread : pool) thread.join();
  const double seconds = seconds_since(start);
  if (reading.bytes == 0 || seconds <= 0) return std::nullopt;
  return static_cast<double>(reading.bytes) / seconds;
}

// What an engine gets that reads a model which is not in the page cache: read(2), one thread, into
// memory that was never touched, a matrix at a time. It wants them in the order of its graph, which
// is seldom the file's: it comes back for what it passed over, so that little is read ahead for it.
std::optional<double> load_file_speed(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return std::nullopt;
  posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  constexpr std::array<off_t, 8> kOrder{5, 2, 6, 0, 4, 7, 1, 3};
  const auto start = SteadyClock::now();
  uint64_t bytes = 0;
  for (off_t i = 0; SteadyClock::now() - start < kDiskTime; ++i) {
    const off_t block = i / 8 * 8 + kOrder[static_cast<size_t>(i % 8)];
    void* memory = mmap(nullptr, kLoadBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    if (memory == MAP_FAILED) break;
    const ssize_t n = pread(file.get(), memory, kLoadBlock, block * off_t{kLoadBlock});
    munmap(memory, kLoadBlock);
    if (n <= 0) break;
    bytes += static_cast<uint64_t>(n);
  }
  const double seconds = seconds_since(start);
  return bytes == 0 || seconds <= 0 ? std::nullopt
                                    : std::optional<double>(static_cast<double>(bytes) / seconds);
}

void measure_file(const std::string& path, Disk* disk) {
  disk->read_bytes_per_s = read_file_speed(path);
  disk->load_bytes_per_s = load_file_speed(path);
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
void measure_new_file(Os& os, const std::string& dir, Disk* disk) {
  if (os.free_space(dir).value_or(Bytes{}) < Bytes{4 * kDiskFileNew.n}) return;
  std::string path = join_path(dir, ".gantry-bench-XXXXXX");
  Descriptor file(mkostemp(path.data(), O_CLOEXEC));
  if (!file.ok()) return;
  if (Block block = aligned_block()) {
    std::memset(block.get(), 0x5A, kReadBlock);
    bool written = true;
    for (uint64_t at = 0; written && at < kDiskFileNew.n; at += kReadBlock) {
      std::memcpy(block.get(), &at, sizeof at);
      written = write(file.get(), block.get(), kReadBlock) == static_cast<ssize_t>(kReadBlock);
    }
    if (written && fdatasync(file.get()) == 0) measure_file(path, disk);
  }
  unlink(path.c_str());
}

void measure_disk(Os& os, const AuditOptions& options, Disk* disk) {
  disk->read_bytes_per_s = disk->load_bytes_per_s = std::nullopt;
  if (options.models_dir.empty()) return;
  const std::string file = largest_file(os, options.models_dir);
  if (!file.empty()) return measure_file(file, disk);
  measure_new_file(os, options.models_dir, disk);
  if (disk->read_bytes_per_s || options.bench_file.empty()) return;
  measure_new_file(os, dir_name(options.bench_file), disk);
}

// ---- the file

// The device itself, wherever it is plugged in.
std::string device_mark(const Device& device) {
  return device.kind == DeviceKind::kCpu ? "cpu" : device.backend + " / " + device.description;
}

json rates_json(const Device& device) {
  json rates = json::array();
  for (const Rate& rate : device.rates) {
    rates.push_back({{"quantisation", rate.quantisation},
                     {"decode_bytes_per_s", rate.decode_bytes_per_s},
                     {"prefill_flop_per_s", rate.prefill_flop_per_s}});
  }
  return rates;
}

void put(json* into, const char* key, const std::optional<double>& value) {
  if (value) (*into)[key] = *value;
}

json device_json(const Device& device) {
  json out = {{"device", device_mark(device)}, {"rates", rates_json(device)}};
  put(&out, "step_s", device.step_s);
  put(&out, "memory_bytes_per_s", device.bandwidth.memory_bytes_per_s);
  put(&out, "host_copy_bytes_per_s", device.bandwidth.host_copy_bytes_per_s);
  put(&out, "pageable_copy_bytes_per_s", device.bandwidth.pageable_copy_bytes_per_s);
  return out;
}

std::optional<double> number(const json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  return value > 0 && value < kNumberMost ? std::optional<double>(value) : std::nullopt;
}

std::string text(const json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void take_device(const json& row, Device* device) {
  const auto take = [&](const char* key, std::optional<double>* to) {
    if (const auto value = number(row, key)) *to = value;
  };
  take("step_s", &device->step_s);
  take("memory_bytes_per_s", &device->bandwidth.memory_bytes_per_s);
  take("host_copy_bytes_per_s", &device->bandwidth.host_copy_bytes_per_s);
  take("pageable_copy_bytes_per_s", &device->bandwidth.pageable_copy_bytes_per_s);
  const auto rates = row.find("rates");
  if (rates == row.end() || !rates->is_array()) return;
  for (const json& rate : *rates) {
    if (!rate.is_object() || device->rates.size() >= kRatesMax) continue;
    const auto decode = number(rate, "decode_bytes_per_s");
    const auto prefill = number(rate, "prefill_flop_per_s");
    const std::string name = text(rate, "quantisation");
    if (decode && prefill && !name.empty()) device->rates.push_back({name, *decode, *prefill});
  }
}

void take_machine(const json& saved, Machine* machine) {
  if (text(saved, "disk_path") == machine->disk.path) {
    if (const auto rate = number(saved, "read_bytes_per_s")) machine->disk.read_bytes_per_s = rate;
    if (const auto rate = number(saved, "load_bytes_per_s")) machine->disk.load_bytes_per_s = rate;
  }
  const auto rows = saved.find("devices");
  if (rows == saved.end() || !rows->is_array()) return;
  for (Device& device : machine->devices) {
    for (const json& row : *rows) {
      if (!row.is_object() || text(row, "device") != device_mark(device)) continue;
      device.rates.clear();
      take_device(row, &device);
      break;
    }
  }
}

// What the file holds, or why it is of no use.
struct Kept {
  json machines = json::object();
  std::string fault;
};

Kept read_kept(Os& os, const std::string& file) {
  const Result<std::string> bytes = os.read_file(file, kBenchFileMax);
  if (!bytes) {
    if (bytes.error().code == Code::kNotFound) return {};
    return {json::object(), file + " cannot be read: " + bytes.error().message};
  }
  const json saved = json::parse(*bytes, nullptr, false);
  if (!saved.is_object()) return {json::object(), file + " is damaged"};
  const json version = saved.value("version", json());
  if (version != kBenchVersion) {
    return {json::object(), file + " is of version " + version.dump().substr(0, 16) + ", not " +
                                std::to_string(kBenchVersion)};
  }
  const auto machines = saved.find("machines");
  if (machines == saved.end() || !machines->is_object()) {
    return {json::object(), file + ": machines is no object"};
  }
  return {*machines, {}};
}

// Memory, disk, and each device in a process of its own. One that cannot be calibrated is said and
// left without rates.
Result<void> measure(Os& os, const AuditOptions& options, const BenchHooks& hooks,
                     Machine* machine) {
  const auto say = [&](const std::string& line) {
    if (hooks.progress) hooks.progress(line);
  };
  say("memory");
  machine->devices.front().bandwidth.memory_bytes_per_s = measure_memory(os, *machine);
  say("disk: " + options.models_dir);
  measure_disk(os, options, &machine->disk);
  for (Device& device : machine->devices) {
    if (hooks.cancel != nullptr && *hooks.cancel) return fail(Code::kCancelled, "interrupted");
    const bool engine = device.kind == DeviceKind::kCpu || !device.backend.empty();
    if (options.worker_exe.empty() || !engine || !device.trouble.empty()) continue;
    const Result<void> done =
        calibrate_device(os, *machine, options.worker_exe, hooks, &device);
    if (!done && done.error().code == Code::kCancelled) return fail(done.error());
    if (!done) say(device.name + " is not calibrated: " + describe(done.error()));
  }
  return {};
}

}  // namespace

std::string machine_mark(const Machine& machine) {
  // Total memory in GiB: kernels reserve a little more or less at each start.
  return machine.cpu.model + " / " + std::to_string(machine.cpu.threads) + " / " +
         std::to_string((machine.memory.total.n + GiB(1).n / 2) / GiB(1).n) + " GiB";
}

Result<void> save_bench(Os& os, const std::string& file, const Machine& machine) {
  json own = {{"devices", json::array()}};
  for (const Device& device : machine.devices) own["devices"].push_back(device_json(device));
  own["disk_path"] = machine.disk.path;
  put(&own, "read_bytes_per_s", machine.disk.read_bytes_per_s);
  put(&own, "load_bytes_per_s", machine.disk.load_bytes_per_s);
  json machines = read_kept(os, file).machines;
  machines.erase(machine_mark(machine));
  if (machines.size() >= kMachinesMax) machines = json::object();
  machines[machine_mark(machine)] = std::move(own);
  const json saved = {{"version", kBenchVersion}, {"machines", std::move(machines)}};
  const std::string dir = dir_name(file);
  if (!dir.empty()) {
    if (auto made = os.make_dirs(dir, 0700); !made) return made;
  }
  return os.write_file(file, saved.dump(2, ' ', false, json::error_handler_t::replace) + "\n",
                       0600);
}

std::string merge_bench(Os& os, const std::string& file, Machine* machine) {
  const Kept kept = read_kept(os, file);
  if (!kept.fault.empty()) return kept.fault;
  const auto own = kept.machines.find(machine_mark(*machine));
  if (own == kept.machines.end()) {
    return kept.machines.empty() ? "" : "the figures in " + file + " are another machine's";
  }
  if (!own->is_object()) return file + ": the figures of this machine are no object";
  take_machine(*own, machine);
  return {};
}

Result<void> bench(Os& os, const AuditOptions& options, Machine* machine,
                   const BenchHooks& hooks) {
  if (machine->devices.empty()) return fail(Code::kInternal, "a machine without a CPU device");
  Machine found = *machine;
  if (!options.bench_file.empty() && hooks.progress) {
    const std::string why = merge_bench(os, options.bench_file, &found);
    if (!why.empty()) hooks.progress(why + ": measured again");
  }
  if (Result<void> done = measure(os, options, hooks, &found); !done) return done;
  *machine = std::move(found);
  write_verdicts(machine);
  if (options.bench_file.empty()) return {};
  return save_bench(os, options.bench_file, *machine);
}

}  // namespace gantry
