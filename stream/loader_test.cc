// Tests of the loader on real files: direct and staged, host memory, faults, and what comes after.
#include "stream/loader.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "base/rng.h"
#include "ggml-backend-impl.h"
#include "stream/test_bench.h"

namespace gantry {
namespace {

constexpr uint64_t kFile = 600'123;  // no whole page at its end
constexpr uint64_t kStaging = 4 * kReadAlign;

class LoaderTest : public testing::TestWithParam<ReaderKind> {
 protected:
  void SetUp() override {
    stats_.emplace(std::move(*MappedStats::make("")));
    path_ = folder_.write("model", patterned(kFile));
    file_ = std::move(*open_direct(path_));
  }
  Loader::Options options(size_t staging_buffers = 0) const {
    Loader::Options options;
    options.reader.kind = GetParam();
    options.reader.chunk_bytes = kReadAlign;
    options.staging_bytes = kStaging;
    options.staging_buffers = staging_buffers;
    return options;
  }
  std::unique_ptr<Loader> loader(const Loader::Options& options) {
    auto made = Loader::make(options, inner_, {&file_}, page(), trace_);
    EXPECT_TRUE(made) << describe(made.error());
    return std::move(*made);
  }
  StatsPage& page() const { return stats_->page(); }

  TestFolder folder_;
  std::string path_;
  DirectFile file_;
  Inner inner_ = cpu_inner();
  std::optional<MappedStats> stats_;
  Trace trace_{""};
};

// Gathers what a sink is handed, part by part.
struct Gathered {
  explicit Gathered(const std::vector<Part>& parts) {
    for (const Part& part : parts) bytes.emplace_back(part.bytes, std::byte{0x55});
  }
  Sink sink() {
    return [this](size_t part, uint64_t offset, const std::byte* data, size_t count) {
      ASSERT_LE(offset + count, bytes[part].size());
      std::memcpy(bytes[part].data() + offset, data, count);
      given += count;
    };
  }
  std::vector<std::vector<std::byte>> bytes;
  uint64_t given = 0;
};

LoadJob job_of(const std::vector<Part>& parts, const Image& image, uint64_t tag = 0) {
  LoadJob job;
  job.tag = tag;
  job.parts = &parts;
  job.image = &image;
  return job;
}

// Near and far parts, one that ends with the file, one that lies across staging buffers.
std::vector<Part> scattered() {
  return {part_at(kFile - 777, 777), part_at(32, 5000), part_at(5032, 96),
          part_at(200'064, 3 * kStaging + 11), part_at(400'000, 1)};
}

TEST_P(LoaderTest, DirectBytesLieAtTheImagesPlaces) {
  const auto parts = scattered();
  const Image image = lay_direct(parts);
  ASSERT_GT(image.runs.size(), 1u);
  const AlignedMemory memory(image.bytes);
  LoadJob job = job_of(parts, image);
  job.direct = memory.data();
  const auto loader = this->loader(options());
  ASSERT_TRUE(loader->load(std::move(job)));
  for (size_t i = 0; i < parts.size(); i++) {
    EXPECT_TRUE(holds(memory.data() + image.at[i], parts[i].source.offset, parts[i].bytes)) << i;
  }
  EXPECT_TRUE(loader->idle());
}

TEST_P(LoaderTest, StagedBytesComeOncePartByPart) {
  const auto parts = scattered();
  const Image image = lay_staged(parts, 256);
  for (const size_t buffers : {1u, 3u}) {
    Gathered gathered(parts);
    LoadJob job = job_of(parts, image);
    job.sink = gathered.sink();
    const auto loader = this->loader(options(buffers));
    EXPECT_GE(loader->staging_bytes(), buffers * kStaging);
    ASSERT_TRUE(loader->load(std::move(job)));
    uint64_t wanted = 0;
    for (size_t i = 0; i < parts.size(); i++) {
      EXPECT_TRUE(holds(gathered.bytes[i].data(), parts[i].source.offset, parts[i].bytes)) << i;
      wanted += parts[i].bytes;
    }
    EXPECT_EQ(gathered.given, wanted);
  }
}

TEST_P(LoaderTest, StagedPartsThatShareBytesGetAllOfThem) {
  const std::vector<Part> parts = {part_at(4096, 9000), part_at(5000, 20'000), part_at(4096, 64)};
  const Image image = lay_staged(parts, 32);
  Gathered gathered(parts);
  LoadJob job = job_of(parts, image);
  job.sink = gathered.sink();
  ASSERT_TRUE(loader(options(2))->load(std::move(job)));
  for (size_t i = 0; i < parts.size(); i++) {
    EXPECT_TRUE(holds(gathered.bytes[i].data(), parts[i].source.offset, parts[i].bytes)) << i;
  }
}

TEST_P(LoaderTest, HostMemoryIsASource) {
  const std::string host = patterned(10'000);
  const auto* bytes = reinterpret_cast<const std::byte*>(host.data());
  std::vector<Part> parts = {part_at(8192, 4096), Part{{-1, 0, bytes + 100}, 5000, 5000}};
  const Image image = lay_direct(parts);
  const AlignedMemory memory(image.bytes);
  LoadJob job = job_of(parts, image);
  job.direct = memory.data();
  job.sink = [&](size_t part, uint64_t offset, const std::byte* data, size_t count) {
    std::memcpy(memory.data() + image.at[part] + offset, data, count);
  };
  ASSERT_TRUE(loader(options())->load(std::move(job)));
  EXPECT_TRUE(holds(memory.data() + image.at[0], 8192, 4096));
  EXPECT_TRUE(holds(memory.data() + image.at[1], 100, 5000));

  parts.erase(parts.begin());  // nothing at all to read
  const Image alone = lay_staged(parts, 32);
  Gathered gathered(parts);
  job = job_of(parts, alone);
  job.sink = gathered.sink();
  ASSERT_TRUE(loader(options(1))->load(std::move(job)));
  EXPECT_TRUE(holds(gathered.bytes[0].data(), 100, 5000));
}

// More images at once than the reader takes requests and the staging has buffers.
TEST_P(LoaderTest, ManyImagesUnderWayEndWithTheirOwnBytes) {
  for (const size_t buffers : {0u, 2u}) {
    Loader::Options options = this->options(buffers);
    options.reader.requests = 3;
    const auto loader = this->loader(options);
    constexpr size_t kJobs = 20;
    std::vector<std::vector<Part>> parts(kJobs);
    std::vector<Image> images(kJobs);
    std::vector<Gathered> gathered;
    std::vector<std::unique_ptr<AlignedMemory>> memory;
    Rng rng(3);
    for (size_t i = 0; i < kJobs; i++) {
      for (uint64_t n = 0; n < 4; n++) {
        parts[i].push_back(part_at(n * 140'000 + rng.below(40'000), 1 + rng.below(50'000)));
      }
      images[i] = buffers == 0 ? lay_direct(parts[i]) : lay_staged(parts[i], 32);
      gathered.emplace_back(parts[i]);
      memory.push_back(std::make_unique<AlignedMemory>(images[i].bytes));
    }
    for (size_t i = 0; i < kJobs; i++) {
      LoadJob job = job_of(parts[i], images[i], 100 + i);
      if (buffers == 0) job.direct = memory[i]->data();
      job.sink = gathered[i].sink();
      loader->begin(std::move(job));
    }
    std::vector<uint64_t> tags;
    while (!loader->idle()) {
      const auto done = loader->step(std::chrono::seconds(60));
      if (!done) continue;
      ASSERT_TRUE(done->result) << describe(done->result.error());
      tags.push_back(done->tag);
    }
    EXPECT_EQ(tags.size(), kJobs);
    for (size_t i = 0; i < kJobs; i++) {
      EXPECT_EQ(std::count(tags.begin(), tags.end(), 100 + i), 1);
      for (size_t j = 0; j < parts[i].size(); j++) {
        const auto* at = buffers == 0 ? memory[i]->data() + images[i].at[j]
                                      : gathered[i].bytes[j].data();
        ASSERT_TRUE(holds(at, parts[i][j].source.offset, parts[i][j].bytes)) << i << "." << j;
      }
    }
  }
}

TEST_P(LoaderTest, AFailedReadIsThatJobsErrorAndTheNextLoadWorks) {
  for (const size_t buffers : {0u, 2u}) {
    Loader::Options options = this->options(buffers);
    std::atomic<bool> broken = true;
    options.reader.fault = [&](uint64_t offset, size_t, int64_t answer) -> int64_t {
      return broken && offset == 204'800 ? -EIO : answer;
    };
    const auto loader = this->loader(options);
    const auto good = std::vector<Part>{part_at(0, 30'000)};
    const auto bad = scattered();
    const Image good_image = buffers == 0 ? lay_direct(good) : lay_staged(good, 32);
    const Image bad_image = buffers == 0 ? lay_direct(bad) : lay_staged(bad, 32);
    const AlignedMemory good_memory(good_image.bytes), bad_memory(bad_image.bytes);
    for (int round = 0; round < 3; round++) {
      broken = round < 2;
      Gathered good_bytes(good), bad_bytes(bad);
      LoadJob first = job_of(bad, bad_image, 1), second = job_of(good, good_image, 2);
      if (buffers == 0) {
        first.direct = bad_memory.data();
        second.direct = good_memory.data();
      }
      first.sink = bad_bytes.sink();
      second.sink = good_bytes.sink();
      loader->begin(std::move(first));
      loader->begin(std::move(second));
      while (!loader->idle()) {
        const auto done = loader->step(std::chrono::seconds(60));
        if (!done) continue;
        EXPECT_EQ(done->result.has_value(), done->tag == 2 || round == 2) << round;
        if (!done->result) {
          EXPECT_EQ(done->result.error().code, Code::kIo);
        }
      }
      const auto* at = buffers == 0 ? good_memory.data() : good_bytes.bytes[0].data();
      EXPECT_TRUE(holds(at, 0, 30'000));
    }
  }
}

TEST_P(LoaderTest, ATruncatedFileIsATypedErrorAndTheRestCanStillBeRead) {
  for (const size_t buffers : {0u, 2u}) {
    folder_.write("model", patterned(kFile));
    file_ = std::move(*open_direct(path_));
    const auto loader = this->loader(options(buffers));
    ASSERT_EQ(::truncate(path_.c_str(), 100'000), 0);
    const std::vector<Part> parts = {part_at(90'000, 20'000)};
    const Image image = buffers == 0 ? lay_direct(parts) : lay_staged(parts, 32);
    const AlignedMemory memory(image.bytes);
    Gathered gathered(parts);
    for (int round = 0; round < 2; round++) {
      LoadJob job = job_of(parts, image);
      if (buffers == 0) job.direct = memory.data();
      job.sink = gathered.sink();
      const auto refused = loader->load(std::move(job));
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, Code::kCorrupt) << refused.error().message;
    }
    EXPECT_TRUE(loader->idle());
  }
}

// What is read must be of one state of the file, even if every byte came.
TEST_P(LoaderTest, AFileThatChangedUnderneathIsRefused) {
  for (const size_t buffers : {0u, 1u}) {
    folder_.write("model", patterned(kFile));
    file_ = std::move(*open_direct(path_));
    const auto loader = this->loader(options(buffers));
    const std::vector<Part> parts = {part_at(0, 20'000)};
    const Image image = buffers == 0 ? lay_direct(parts) : lay_staged(parts, 32);
    const AlignedMemory memory(image.bytes);
    Gathered gathered(parts);
    const auto load = [&] {
      LoadJob job = job_of(parts, image);
      if (buffers == 0) job.direct = memory.data();
      job.sink = gathered.sink();
      return loader->load(std::move(job));
    };
    ASSERT_TRUE(load());
    const timespec times[2] = {{1, 0}, {1, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
    const auto refused = load();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kCorrupt);
    EXPECT_FALSE(refused.error().remedy.empty());
  }
}

TEST_P(LoaderTest, PartsOfSeveralFiles) {
  const std::string other = folder_.write("other", "...." + patterned(50'000));
  const DirectFile second = std::move(*open_direct(other));
  const std::vector<Part> parts = {part_at(40'004, 999, 1), part_at(40'000, 999, 0)};
  const Image image = lay_direct(parts);
  ASSERT_EQ(image.runs.size(), 2u);
  const AlignedMemory memory(image.bytes);
  auto made = Loader::make(options(), inner_, {&file_, &second}, page(), trace_);
  ASSERT_TRUE(made);
  LoadJob job = job_of(parts, image);
  job.direct = memory.data();
  ASSERT_TRUE((*made)->load(std::move(job)));
  for (const size_t i : {0u, 1u}) EXPECT_TRUE(holds(memory.data() + image.at[i], 40'000, 999));
}

TEST_P(LoaderTest, CountsWhatTheDiskGave) {
  const std::vector<Part> parts = {part_at(0, 100'000)};
  const Image image = lay_direct(parts);
  const AlignedMemory memory(image.bytes);
  const auto loader = this->loader(options());
  for (uint64_t round = 1; round <= 3; round++) {
    LoadJob job = job_of(parts, image);
    job.direct = memory.data();
    ASSERT_TRUE(loader->load(std::move(job)));
    EXPECT_EQ(page().disk_bytes, round * image.runs[0].bytes);
  }
  EXPECT_GT(page().disk_ns, 0u);
}

TEST_P(LoaderTest, WakeEndsAStepFromAnotherThread) {
  const auto loader = this->loader(options());
  std::thread waker([&] { loader->wake(); });
  EXPECT_FALSE(loader->step(std::chrono::hours(1)));
  waker.join();
}

// Staging that tells when it is freed.
struct Watched {
  explicit Watched(const Inner& plain) : inner(plain), type(*plain.memory) {
    type.iface.alloc_buffer = [](ggml_backend_buffer_type_t self, size_t bytes) {
      const auto* watched = static_cast<const Watched*>(self->context);
      ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(watched->inner.memory, bytes);
      buffer->buft = self;
      buffer->iface.free_buffer = [](ggml_backend_buffer_t freed) {
        static_cast<Watched*>(freed->buft->context)->freed = true;
        std::free(freed->context);
      };
      return buffer;
    };
    type.context = this;
    inner.pinned = &type;
  }
  Inner inner;
  ggml_backend_buffer_type type;
  std::atomic<bool> freed = false;
};

TEST_P(LoaderTest, StagingOutlivesTheReadsIntoIt) {
  Watched watched(inner_);
  std::atomic<bool> late = false, going = false;
  Loader::Options options = this->options(2);
  options.reader.depth = 1;
  options.reader.fault = [&](uint64_t, size_t, int64_t answer) {
    going = true;
    for (int i = 0; i < 100 && !watched.freed; i++) std::this_thread::yield();
    late = late || watched.freed;
    return answer;
  };
  auto made = Loader::make(options, watched.inner, {&file_}, page(), trace_);
  ASSERT_TRUE(made);
  const std::vector<Part> parts = {part_at(0, 2 * kStaging)};
  const Image image = lay_staged(parts, 32);
  LoadJob job = job_of(parts, image);
  job.sink = [](size_t, uint64_t, const std::byte*, size_t) {};
  (*made)->begin(std::move(job));
  while (!going) std::this_thread::yield();
  made->reset();
  EXPECT_TRUE(watched.freed);
  EXPECT_FALSE(late) << "the kernel was reading into memory that was freed";
}

INSTANTIATE_TEST_SUITE_P(Kinds, LoaderTest, testing::Values(ReaderKind::kThreads,
                                                            ReaderKind::kAuto),
                         [](const auto& info) {
                           return info.param == ReaderKind::kAuto ? "Auto" : "Threads";
                         });

}  // namespace
}  // namespace gantry
