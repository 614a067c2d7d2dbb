// Bandwidth of direct reads: both kinds of Reader at several chunk sizes and depths beside plain
// threads with pread. JSON on stdout.
// usage: read FILE [--mb N] [--rounds N] [--quick] [--small-pages]
//             [--only KIND:CHUNK_MIB:DEPTH]...
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "stream/reader.h"

namespace {

using gantry::DirectFile;
using Clock = std::chrono::steady_clock;
constexpr size_t kMiB = 1 << 20;
constexpr size_t kBufferBytes = 512 * kMiB;
constexpr size_t kRingBytes = 128 * kMiB;  // what all readers go through: larger than any cache

struct Setting {
  std::string kind;  // "pread", "threads", "uring"
  size_t chunk = 0;
  size_t depth = 0;
  std::vector<double> rates = {};  // bytes per second, one per round
};

struct Work {
  const DirectFile* file = nullptr;
  std::byte* buffer = nullptr;
  uint64_t begin = 0, end = 0;  // of the file
};

// Like any program would without a Reader: threads that take the next chunk from a counter.
bool read_plainly(const Work& work, const Setting& setting) {
  std::atomic<uint64_t> next = work.begin;
  std::atomic<bool> well = true;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < setting.depth; ++i) {
    threads.emplace_back([&] {
      for (;;) {
        const uint64_t at = next.fetch_add(setting.chunk);
        if (at >= work.end) return;
        const size_t bytes = std::min<uint64_t>(setting.chunk, work.end - at);
        std::byte* to = work.buffer + (at - work.begin) % kRingBytes;
        if (::pread(work.file->fd(), to, bytes, static_cast<off_t>(at)) !=
            static_cast<ssize_t>(bytes)) {
          well = false;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return well;
}

// As the streamer does: pieces of a layer, a few requested ahead.
bool read_with_reader(const Work& work, const Setting& setting, gantry::Reader& reader) {
  const size_t piece = std::max(16 * kMiB, setting.chunk);
  const size_t places = std::min(kBufferBytes, std::max(kRingBytes, 2 * piece +
                                                        setting.depth * setting.chunk)) / piece;
  uint64_t at = work.begin;
  size_t under_way = 0;
  bool well = true;
  const auto submit = [&](size_t place) {
    gantry::ReadRequest request;
    request.fd = work.file->fd();
    request.offset = at;
    request.to = work.buffer + place * piece;
    request.bytes = std::min<uint64_t>(piece, work.end - at);
    request.tag = place;
    request.direct = work.file->direct();
    at += request.bytes;
    ++under_way;
    well = reader.submit(request).has_value() && well;
  };
  for (size_t place = 0; place < places && at < work.end; ++place) submit(place);
  while (well && under_way > 0) {
    const auto done = reader.next(std::chrono::seconds(60));
    well = done && done->bytes;
    --under_way;
    if (well && at < work.end) submit(done->tag);
  }
  return well;
}

double rate_of(const Work& work, const Setting& setting) {
  std::unique_ptr<gantry::Reader> reader;
  if (setting.kind != "pread") {
    gantry::ReaderOptions options;
    options.kind = setting.kind == "uring" ? gantry::ReaderKind::kUring
                                           : gantry::ReaderKind::kThreads;
    options.depth = setting.depth;
    options.chunk_bytes = setting.chunk;
    auto made = gantry::make_reader(options);
    if (!made) return 0;
    reader = std::move(made->reader);
  }
  const auto begin = Clock::now();
  const bool well = reader ? read_with_reader(work, setting, *reader) : read_plainly(work, setting);
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return well ? static_cast<double>(work.end - work.begin) / seconds : 0;
}

std::vector<Setting> settings(bool quick) {
  std::vector<Setting> all;
  for (const size_t depth : {1, 2, 4, 8}) all.push_back({"pread", 4 * kMiB, depth});
  const std::vector<size_t> depths = quick ? std::vector<size_t>{2, 4, 8}
                                           : std::vector<size_t>{1, 2, 4, 8, 16};
  for (const char* kind : {"threads", "uring"}) {
    for (const size_t half : {1, 2, 4, 8, 16, 32}) {
      if (quick && (half == 1 || half == 32)) continue;
      for (const size_t depth : depths) all.push_back({kind, half * kMiB / 2, depth});
    }
  }
  return all;
}

// "uring:4:8" and the like; nothing where a word is malformed.
std::vector<Setting> only(int count, char** words) {
  std::vector<Setting> all;
  for (int i = 2; i + 1 < count; ++i) {
    if (std::strcmp(words[i], "--only") != 0) continue;
    char kind[8] = {};
    double mib = 0;
    size_t depth = 0;
    if (std::sscanf(words[i + 1], "%7[a-z]:%lf:%zu", kind, &mib, &depth) != 3 || mib < 0.004 ||
        mib > 64 || depth == 0 || depth > gantry::kReadDepthMax ||
        static_cast<double>(depth) * mib * kMiB > kBufferBytes) {
      return {};
    }
    all.push_back({kind, static_cast<size_t>(mib * 256) * gantry::kReadAlign, depth});
  }
  return all;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void print(const std::vector<Setting>& all, const DirectFile& file, size_t bytes) {
  fmt::print("{{\"file_bytes\":{},\"direct\":{},\"bytes_per_run\":{},\"settings\":[\n", file.size(),
             file.direct(), bytes);
  for (const Setting& setting : all) {
    fmt::print("{{\"kind\":\"{}\",\"chunk_mib\":{},\"depth\":{},\"mb_per_s\":{:.0f},"
               "\"lowest\":{:.0f},\"highest\":{:.0f}}}{}\n",
               setting.kind, static_cast<double>(setting.chunk) / kMiB, setting.depth,
               median(setting.rates) / 1e6, *std::ranges::min_element(setting.rates) / 1e6,
               *std::ranges::max_element(setting.rates) / 1e6, &setting == &all.back() ? "" : ",");
  }
  fmt::print("]}}\n");
}

size_t number_after(int count, char** words, const char* flag, size_t otherwise) {
  for (int i = 2; i + 1 < count; ++i) {
    if (std::strcmp(words[i], flag) != 0) continue;
    std::from_chars(words[i + 1], words[i + 1] + std::strlen(words[i + 1]), otherwise);
  }
  return otherwise;
}

bool has(int count, char** words, const char* flag) {
  return std::any_of(words, words + count,
                     [flag](const char* word) { return std::strcmp(word, flag) == 0; });
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) {
    fmt::print(stderr, "usage: read FILE [--mb N] [--rounds N] [--quick] [--small-pages]\n"
                       "            [--only KIND:CHUNK_MIB:DEPTH]...\n");
    return 2;
  }
  auto file = gantry::open_direct(words[1]);
  if (!file) {
    fmt::print(stderr, "gantry: {}\n", gantry::describe(file.error()));
    return 1;
  }
  const uint64_t usable = file->size() / gantry::kReadAlign * gantry::kReadAlign;
  const size_t bytes = std::min<uint64_t>(number_after(count, words, "--mb", 512) * kMiB, usable);
  const size_t rounds = std::max<size_t>(number_after(count, words, "--rounds", 5), 1);
  void* memory = ::mmap(nullptr, kBufferBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || bytes == 0) return 1;
  if (!has(count, words, "--small-pages")) {
    gantry::prefer_huge_pages(static_cast<std::byte*>(memory), kBufferBytes);
  }
  std::memset(memory, 1, kBufferBytes);  // no page faults while reading
  std::vector<Setting> all = only(count, words);
  if (all.empty()) all = settings(has(count, words, "--quick"));
  uint64_t begin = 0;
  for (size_t round = 0; round < rounds; ++round) {  // interleaved: noise falls on all alike
    for (Setting& setting : all) {
      if (begin + bytes > usable) begin = 0;
      setting.rates.push_back(
          rate_of({&*file, static_cast<std::byte*>(memory), begin, begin + bytes}, setting));
      begin += bytes;
    }
  }
  print(all, *file, bytes);
  return 0;
}
