// Tests of both readers on real files: sizes, errors, truncation, cancelling, many at once.
#include "stream/reader.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

namespace gantry {
namespace {

constexpr size_t kPage = kReadAlign;
constexpr auto kPatience = std::chrono::seconds(60);

// The byte of every test file at an offset: no two pages alike.
std::byte byte_at(uint64_t offset) {
  const uint64_t mixed = (offset / 8 + 1) * 0x9E3779B97F4A7C15ull;
  return static_cast<std::byte>((mixed >> (offset % 8 * 8)) & 0xFF);
}

size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

class Memory {
 public:
  explicit Memory(size_t bytes) : bytes_(pages(bytes)) {
    data_ = static_cast<std::byte*>(std::aligned_alloc(kPage, bytes_));
    std::memset(data_, 0x55, bytes_);
  }
  ~Memory() { std::free(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::byte* at(size_t offset) const { return data_ + offset; }
  size_t size() const { return bytes_; }
  bool holds(size_t from, uint64_t file_offset, size_t bytes) const {
    for (size_t i = 0; i < bytes; ++i) {
      if (data_[from + i] != byte_at(file_offset + i)) return false;
    }
    return true;
  }

 private:
  size_t bytes_;
  std::byte* data_;
};

class ReaderTest : public testing::TestWithParam<ReaderKind> {
 protected:
  void SetUp() override {
    ReaderOptions options;
    options.kind = GetParam();
    if (GetParam() == ReaderKind::kUring && !make_reader(options)) {
      GTEST_SKIP() << "io_uring is refused here";
    }
  }
  ~ReaderTest() override {
    for (const std::string& path : made_) std::filesystem::remove(path);
  }

  std::string file(size_t bytes, const std::string& folder = testing::TempDir()) {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string("gantry-reader-") + std::to_string(getpid()) + "-" +
                       test->name() + "-" + std::to_string(made_.size());
    std::replace(name.begin(), name.end(), '/', '-');
    made_.push_back(folder + "/" + name);
    std::vector<char> content(bytes);
    for (size_t i = 0; i < bytes; ++i) content[i] = static_cast<char>(byte_at(i));
    std::ofstream(made_.back(), std::ios::binary)
        .write(content.data(), static_cast<std::streamsize>(bytes));
    return made_.back();
  }

  std::unique_ptr<Reader> reader(ReaderOptions options = {}) {
    options.kind = GetParam();
    auto made = make_reader(options);
    if (!made) {
      ADD_FAILURE() << describe(made.error());
      return nullptr;
    }
    return std::move(made->reader);
  }

  static ReadRequest whole(const DirectFile& file, const Memory& memory) {
    ReadRequest request;
    request.fd = file.fd();
    request.to = memory.at(0);
    request.bytes = pages(file.size());
    request.needed = file.size();
    request.direct = file.direct();
    return request;
  }

  std::vector<std::string> made_;
};

INSTANTIATE_TEST_SUITE_P(
    Kinds, ReaderTest, testing::Values(ReaderKind::kUring, ReaderKind::kThreads),
    [](const auto& kind) { return kind.param == ReaderKind::kUring ? "uring" : "threads"; });

TEST_P(ReaderTest, ReadsFilesOfOddSizes) {
  ReaderOptions options;
  options.chunk_bytes = 8 * kPage;
  const auto reader = this->reader(options);
  ASSERT_TRUE(reader);
  EXPECT_STREQ(reader->name(), GetParam() == ReaderKind::kUring ? "uring" : "threads");
  uint64_t total = 0;
  for (const size_t bytes : {size_t{1}, kPage - 1, kPage, kPage + 1, 8 * kPage, 8 * kPage + 1,
                             size_t{1'000'003}}) {
    const auto file = open_direct(this->file(bytes));
    ASSERT_TRUE(file);
    EXPECT_EQ(file->size(), bytes);
    const Memory memory(bytes);
    ReadRequest request = whole(*file, memory);
    request.tag = bytes;
    ASSERT_TRUE(reader->submit(request));
    const auto done = reader->next(kPatience);
    ASSERT_TRUE(done && done->bytes) << bytes;
    EXPECT_EQ(done->tag, bytes);
    EXPECT_EQ(*done->bytes, bytes);
    EXPECT_GT(done->took.count(), 0);
    EXPECT_TRUE(memory.holds(0, 0, bytes)) << bytes;
    total += bytes;
    EXPECT_TRUE(file->unchanged());
  }
  EXPECT_EQ(reader->stats().bytes, total);
  EXPECT_EQ(reader->stats().requests, 7u);
  EXPECT_GT(reader->stats().busy.count(), 0);
}

TEST_P(ReaderTest, ReadsFromTmpfs) {
  if (!std::filesystem::is_directory("/dev/shm")) GTEST_SKIP() << "no tmpfs";
  const auto file = open_direct(this->file(300'001, "/dev/shm"));
  ASSERT_TRUE(file) << describe(file.error());
  const Memory memory(file->size());
  ReaderOptions options;
  options.chunk_bytes = kPage;
  const auto reader = this->reader(options);
  ASSERT_TRUE(reader->submit(whole(*file, memory)));
  const auto done = reader->next(kPatience);
  ASSERT_TRUE(done && done->bytes);
  EXPECT_TRUE(memory.holds(0, 0, file->size()));
}

TEST_P(ReaderTest, ReadsThroughThePageCacheWhenAsked) {
  const std::string path = this->file(100 * kPage + 5);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const Memory memory(101 * kPage);
  const auto reader = this->reader();
  ReadRequest request;
  request.fd = fd;
  request.to = memory.at(0);
  request.bytes = memory.size();
  request.needed = 100 * kPage + 5;
  request.direct = false;
  ASSERT_TRUE(reader->submit(request));
  const auto done = reader->next(kPatience);
  ASSERT_TRUE(done && done->bytes);
  EXPECT_TRUE(memory.holds(0, 0, request.needed));
  ::close(fd);
}

TEST_P(ReaderTest, AClosedFileFailsItsRequestOnly) {
  auto file = open_direct(this->file(20 * kPage));
  ASSERT_TRUE(file);
  const Memory memory(20 * kPage);
  const auto reader = this->reader();
  ReadRequest request = whole(*file, memory);
  request.fd = ::dup(file->fd());
  ::close(request.fd);
  ASSERT_TRUE(reader->submit(request));
  auto done = reader->next(kPatience);
  ASSERT_TRUE(done);
  ASSERT_FALSE(done->bytes);
  EXPECT_EQ(done->bytes.error().code, Code::kIo);
  ASSERT_TRUE(reader->submit(whole(*file, memory)));
  done = reader->next(kPatience);
  ASSERT_TRUE(done && done->bytes);
  EXPECT_TRUE(memory.holds(0, 0, 20 * kPage));
  EXPECT_EQ(reader->stats().errors, 1u);
}

TEST_P(ReaderTest, AFileThatBecameShorterIsSaid) {
  const std::string path = this->file(50 * kPage);
  const auto file = open_direct(path);
  ASSERT_TRUE(file);
  ASSERT_EQ(::truncate(path.c_str(), 20 * kPage + 10), 0);
  const Memory memory(50 * kPage);
  ReaderOptions options;
  options.chunk_bytes = 4 * kPage;
  const auto reader = this->reader(options);
  ASSERT_TRUE(reader->submit(whole(*file, memory)));
  const auto done = reader->next(kPatience);
  ASSERT_TRUE(done);
  ASSERT_FALSE(done->bytes);
  EXPECT_EQ(done->bytes.error().code, Code::kCorrupt);
  EXPECT_THAT(done->bytes.error().message, testing::HasSubstr("became shorter"));
  const auto changed = file->unchanged();
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code, Code::kCorrupt);
}

TEST_P(ReaderTest, TruncationWhileReadingNeverGivesWrongBytes) {
  const std::string path = this->file(400 * kPage);
  const auto file = open_direct(path);
  ASSERT_TRUE(file);
  const Memory memory(400 * kPage);
  ReaderOptions options;
  options.chunk_bytes = 2 * kPage;
  const auto reader = this->reader(options);
  for (uint64_t i = 0; i < 20; ++i) {
    ReadRequest request = whole(*file, memory);
    request.offset = i * 20 * kPage;
    request.to = memory.at(i * 20 * kPage);
    request.bytes = 20 * kPage;
    request.needed = 0;
    request.tag = i;
    ASSERT_TRUE(reader->submit(request));
    if (i == 5) {
      ASSERT_EQ(::truncate(path.c_str(), 200 * kPage), 0);
    }
  }
  for (size_t i = 0; i < 20; ++i) {
    const auto done = reader->next(kPatience);
    ASSERT_TRUE(done);
    if (done->bytes) {
      EXPECT_TRUE(memory.holds(done->tag * 20 * kPage, done->tag * 20 * kPage, 20 * kPage));
    } else {
      EXPECT_GE(done->tag, 10u);
      EXPECT_EQ(done->bytes.error().code, Code::kCorrupt);
    }
  }
}

TEST_P(ReaderTest, FaultsOfTheDiskAreTypedErrorsOfOneRequest) {
  const auto file = open_direct(this->file(40 * kPage));
  ASSERT_TRUE(file);
  const Memory memory(40 * kPage);
  ReaderOptions options;
  options.chunk_bytes = 4 * kPage;
  options.fault = [](uint64_t offset, size_t, int64_t answer) -> int64_t {
    return offset == 12 * kPage ? -EIO : answer;
  };
  const auto reader = this->reader(options);
  for (uint64_t half = 0; half < 2; ++half) {
    ReadRequest request = whole(*file, memory);
    request.offset = half * 20 * kPage;
    request.to = memory.at(half * 20 * kPage);
    request.bytes = request.needed = 20 * kPage;
    request.tag = half;
    ASSERT_TRUE(reader->submit(request));
  }
  for (int i = 0; i < 2; ++i) {
    const auto done = reader->next(kPatience);
    ASSERT_TRUE(done);
    EXPECT_EQ(done->bytes.has_value(), done->tag == 1);
    if (done->bytes) continue;
    EXPECT_EQ(done->bytes.error().code, Code::kIo);
    EXPECT_THAT(done->bytes.error().message, testing::HasSubstr("offset 49152"));
    EXPECT_FALSE(done->bytes.error().remedy.empty());
  }
}

TEST_P(ReaderTest, ShortReadsInterruptionsAndBusyDisksAreContinued) {
  const auto file = open_direct(this->file(64 * kPage + 77));
  ASSERT_TRUE(file);
  const Memory memory(65 * kPage);
  ReaderOptions options;
  options.chunk_bytes = 16 * kPage;
  std::atomic<unsigned> calls = 0;
  options.fault = [&calls](uint64_t, size_t, int64_t answer) -> int64_t {
    const unsigned call = calls++ % 4;
    if (call == 0) return -EINTR;
    if (call == 1) return -EAGAIN;
    // Half of what came, not even at a block's end; never less than a block, or nothing moves.
    return call == 2 && answer > static_cast<int64_t>(2 * kPage) ? answer / 2 + 3 : answer;
  };
  const auto reader = this->reader(options);
  ASSERT_TRUE(reader->submit(whole(*file, memory)));
  const auto done = reader->next(kPatience);
  ASSERT_TRUE(done);
  ASSERT_TRUE(done->bytes) << describe(done->bytes.error());
  EXPECT_EQ(*done->bytes, file->size());
  EXPECT_TRUE(memory.holds(0, 0, file->size()));
  EXPECT_GT(calls.load(), 10u);
}

TEST_P(ReaderTest, RefusesTheRequestAfterTheLast) {
  const auto file = open_direct(this->file(4 * kPage));
  ASSERT_TRUE(file);
  const Memory memory(6 * 4 * kPage);
  ReaderOptions options;
  options.requests = 5;
  const auto reader = this->reader(options);
  const auto request = [&](size_t place) {
    ReadRequest request = whole(*file, memory);
    request.to = memory.at(place * 4 * kPage);
    return request;
  };
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < 5; ++i) ASSERT_TRUE(reader->submit(request(i)));
    EXPECT_EQ(reader->submit(request(5)).error().code, Code::kBusy);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(reader->next(kPatience));
  }
  EXPECT_FALSE(reader->next(std::chrono::nanoseconds(0)));
}

TEST_P(ReaderTest, CancelledReadsAllComeBack) {
  const auto file = open_direct(this->file(64 * kPage));
  ASSERT_TRUE(file);
  const Memory memory(64 * kPage);
  ReaderOptions options;
  options.chunk_bytes = kPage;
  options.depth = 2;
  const auto reader = this->reader(options);
  for (int round = 0; round < 20; ++round) {
    std::set<uint64_t> tags;
    for (uint64_t tag = 0; tag < 16; ++tag) {
      ReadRequest request = whole(*file, memory);
      request.offset = tag * 4 * kPage;
      request.to = memory.at(tag * 4 * kPage);
      request.bytes = request.needed = 4 * kPage;
      request.tag = tag;
      ASSERT_TRUE(reader->submit(request));
    }
    reader->cancel_queued();
    for (int i = 0; i < 16; ++i) {
      const auto done = reader->next(kPatience);
      ASSERT_TRUE(done);
      EXPECT_TRUE(tags.insert(done->tag).second);
      if (!done->bytes) {
        EXPECT_EQ(done->bytes.error().code, Code::kCancelled);
      }
    }
  }
}

TEST_P(ReaderTest, ThousandsOfReadsFromSeveralThreads) {
  const size_t count = 256;
  const auto file = open_direct(this->file(count * kPage));
  ASSERT_TRUE(file);
  const size_t threads = 3, each = 1000, places = 64;
  const Memory memory(threads * places * 2 * kPage);
  ReaderOptions options;
  options.requests = threads * places;
  options.chunk_bytes = kPage;
  const auto reader = this->reader(options);
  // A place is free again when its read was checked: the consumer gives it back.
  std::vector<std::atomic<bool>> taken(threads * places);
  std::vector<std::thread> submitters;
  const auto page_of = [](uint64_t tag) { return tag * 7919 % (count - 1); };
  for (size_t t = 0; t < threads; ++t) {
    submitters.emplace_back([&, t] {
      for (size_t i = 0; i < each; ++i) {
        const size_t place = t * places + i % places;
        while (taken[place].exchange(true)) std::this_thread::yield();
        ReadRequest request;
        request.fd = file->fd();
        request.tag = (t * each + i) * threads * places + place;
        request.offset = page_of(request.tag) * kPage;
        request.to = memory.at(place * 2 * kPage);
        request.bytes = 2 * kPage;
        request.direct = file->direct();
        request.urgent = i % 5 == 0;
        ASSERT_TRUE(reader->submit(request));
      }
    });
  }
  for (size_t i = 0; i < threads * each; ++i) {
    const auto done = reader->next(kPatience);
    ASSERT_TRUE(done && done->bytes);
    const size_t place = done->tag % (threads * places);
    ASSERT_TRUE(memory.holds(place * 2 * kPage, page_of(done->tag) * kPage, 2 * kPage));
    taken[place] = false;
  }
  for (std::thread& thread : submitters) thread.join();
  EXPECT_EQ(reader->stats().bytes, threads * each * 2 * kPage);
}

TEST_P(ReaderTest, AfterItsDestructionNothingIsWritten) {
  const size_t bytes = 8 << 20;
  const auto file = open_direct(this->file(bytes));
  ASSERT_TRUE(file);
  for (int round = 0; round < 3; ++round) {
    const Memory memory(bytes);
    ReaderOptions options;
    options.chunk_bytes = bytes / 4;  // all under way at once, for milliseconds
    auto reader = this->reader(options);
    ASSERT_TRUE(reader->submit(whole(*file, memory)));
    while (reader->stats().busy.count() == 0) std::this_thread::yield();
    reader.reset();
    const std::vector<std::byte> then(memory.at(0), memory.at(0) + bytes);
    for (int look = 0; look < 10; ++look) {
      ASSERT_EQ(std::memcmp(then.data(), memory.at(0), bytes), 0);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

TEST_P(ReaderTest, LeavesNoDescriptorsNorThreadsBehind) {
  const auto count = [](const char* folder) {
    return std::distance(std::filesystem::directory_iterator(folder), {});
  };
  { const auto first = this->reader(); }
  const auto fds = count("/proc/self/fd"), threads = count("/proc/self/task");
  for (int i = 0; i < 10; ++i) const auto reader = this->reader();
  EXPECT_EQ(count("/proc/self/fd"), fds);
  EXPECT_EQ(count("/proc/self/task"), threads);
}

TEST(MakeReader, ChecksItsLimits) {
  for (const bool over : {false, true}) {
    ReaderOptions options;
    options.kind = ReaderKind::kThreads;
    options.requests = kReadRequestsMax + over;
    EXPECT_EQ(make_reader(options).has_value(), !over);
    options.requests = 0;
    EXPECT_FALSE(make_reader(options));
    options.requests = 1;
    options.chunk_bytes = kReadChunkMax + (over ? kPage : 0);
    EXPECT_EQ(make_reader(options).has_value(), !over);
    options.chunk_bytes = over ? kPage + 1 : kPage;
    EXPECT_EQ(make_reader(options).has_value(), !over);
    options.chunk_bytes = 0;
    options.depth = kReadDepthMax + over;
    EXPECT_EQ(make_reader(options).has_value(), !over);
  }
}

TEST(OpenDirect, SaysWhatIsWrong) {
  EXPECT_EQ(open_direct("/nonexistent/model.gguf").error().code, Code::kNotFound);
  EXPECT_EQ(open_direct("/dev/null").error().code, Code::kUnsupported);
  EXPECT_EQ(open_direct(testing::TempDir()).error().code, Code::kUnsupported);
  const std::string pipe = testing::TempDir() + "/gantry-pipe-" + std::to_string(getpid());
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(open_direct(pipe).error().code, Code::kUnsupported);
  std::filesystem::remove(pipe);
}

TEST(OpenDirect, SeesChangesUnderneath) {
  const std::string path = testing::TempDir() + "/gantry-changed-" + std::to_string(getpid());
  const auto write = [](const std::string& where, const std::string& text) {
    std::ofstream(where, std::ios::binary) << text;
  };
  write(path, "first");
  auto file = open_direct(path);
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->unchanged());
  write(path + ".new", "other");
  std::filesystem::rename(path + ".new", path);
  EXPECT_TRUE(file->unchanged()) << "the old file lives on";
  file = open_direct(path);
  const timespec times[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  EXPECT_THAT(file->unchanged().error().message, testing::HasSubstr("was written to"));
  write(path, "longer than before");
  EXPECT_THAT(file->unchanged().error().message, testing::HasSubstr("from 5 to 18 bytes"));
  DirectFile moved = std::move(*file);
  EXPECT_TRUE(moved.is_open());
  std::filesystem::remove(path);
}

TEST(OpenDirect, ReadsThroughThePageCacheWhereDirectReadsAreRefused) {
  const auto count = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = count();
  {
    const auto file = open_direct("/proc/self/status");
    ASSERT_TRUE(file) << describe(file.error());
    EXPECT_FALSE(file->direct());
    std::byte byte{};
    EXPECT_EQ(::pread(file->fd(), &byte, 1, 0), 1);
  }
  EXPECT_EQ(count(), before);
}

TEST(OpenDirect, EmptyFiles) {
  const std::string path = testing::TempDir() + "/gantry-empty-" + std::to_string(getpid());
  std::ofstream(path, std::ios::binary).flush();
  const auto file = open_direct(path);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->size(), 0u);
  std::filesystem::remove(path);
}

TEST(HugePages, AnyRangeIsTaken) {
  std::byte* memory = static_cast<std::byte*>(
      ::mmap(nullptr, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  memory[5] = std::byte{1};
  prefer_huge_pages(memory, 8 << 20);
  prefer_huge_pages(memory + 1, (8 << 20) - 1);
  prefer_huge_pages(memory + 1, 2);
  prefer_huge_pages(nullptr, 0);
  EXPECT_EQ(memory[5], std::byte{1});
  ::munmap(memory, 8 << 20);
}

}  // namespace
}  // namespace gantry
