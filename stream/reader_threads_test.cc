// Tests of what only the reader with threads has.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "stream/read_queue.h"

namespace gantry {
namespace {

TEST(ThreadsReader, HasOneThreadForEachChunkInFlight) {
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
  };
  ReaderOptions options;
  options.kind = ReaderKind::kThreads;
  options.depth = 1;
  { const auto first = make_reader(options); }  // a sanitizer may start a thread of its own
  const auto before = threads();
  options.depth = 7;
  const auto made = make_reader(options);
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->note.empty());
  EXPECT_EQ(threads(), before + 7);
}

TEST(ReadChunk, ReadsOnThisThread) {
  std::array<int, 2> fds{};
  ASSERT_EQ(pipe(fds.data()), 0);
  ReaderOptions options;
  options.depth = 1;
  options.chunk_bytes = kReadAlign;
  ReadQueue queue(options);
  alignas(kReadAlign) std::array<std::byte, kReadAlign> memory{};
  ReadRequest request;
  request.fd = fds[0];  // has no offsets: pread refuses
  request.to = memory.data();
  request.bytes = memory.size();
  ASSERT_TRUE(queue.submit(request));
  auto chunk = queue.take();
  const auto outcome = read_chunk(queue, *chunk);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Code::kIo);
  queue.finish(*chunk, outcome);
  for (const int fd : fds) ::close(fd);
}

}  // namespace
}  // namespace gantry
