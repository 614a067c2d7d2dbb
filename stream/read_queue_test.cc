// Tests of the queue that both readers share, with the kernel's answers made up.
#include "stream/read_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <cerrno>

namespace gantry {
namespace {

using std::chrono::nanoseconds;

constexpr size_t kPage = kReadAlign;

class ReadQueueTest : public testing::Test {
 protected:
  static ReaderOptions options(size_t requests, size_t chunk_bytes) {
    ReaderOptions options;
    options.depth = 1;
    options.requests = requests;
    options.chunk_bytes = chunk_bytes;
    return options;
  }

  ReadRequest request(uint64_t tag, size_t bytes, size_t needed = 0) {
    ReadRequest request;
    request.fd = -1;
    request.to = memory_.data();
    request.bytes = bytes;
    request.needed = needed;
    request.tag = tag;
    return request;
  }

  // What next() gives without waiting, as (tag, bytes or error).
  static std::string taken(ReadQueue& queue) {
    const auto done = queue.next(nanoseconds{0});
    if (!done) return "nothing";
    return std::to_string(done->tag) + " " +
           (done->bytes ? std::to_string(*done->bytes)
                        : std::string(code_name(done->bytes.error().code)));
  }

  alignas(kPage) std::array<std::byte, 64 * kPage> memory_{};
};

TEST_F(ReadQueueTest, CutsIntoEqualAlignedChunksInOrder) {
  ReadQueue queue(options(4, 4 * kPage));
  ASSERT_TRUE(queue.submit(request(1, 9 * kPage, 8 * kPage + 7)));
  std::vector<size_t> bytes, needed, offsets;
  std::vector<ReadChunk> chunks;
  while (auto chunk = queue.take()) {
    bytes.push_back(chunk->bytes / kPage);
    needed.push_back(chunk->needed);
    offsets.push_back(chunk->offset);
    EXPECT_EQ(chunk->to, memory_.data() + chunk->offset);
    chunks.push_back(*chunk);
  }
  EXPECT_THAT(bytes, testing::ElementsAre(3, 3, 3));  // not 4, 4 and a tiny one
  EXPECT_THAT(offsets, testing::ElementsAre(0, 3 * kPage, 6 * kPage));
  EXPECT_THAT(needed, testing::ElementsAre(3 * kPage, 3 * kPage, 2 * kPage + 7));
  for (ReadChunk& chunk : chunks) {
    EXPECT_EQ(taken(queue), "nothing");
    const auto outcome = queue.answered(chunk, static_cast<int64_t>(chunk.needed));
    ASSERT_TRUE(outcome);
    queue.finish(chunk, *outcome);
  }
  EXPECT_EQ(taken(queue), "1 " + std::to_string(8 * kPage + 7));
  EXPECT_EQ(queue.stats().bytes, 8 * kPage + 7);
}

TEST_F(ReadQueueTest, RefusesMalformedReads) {
  ReadQueue queue(options(4, 4 * kPage));
  std::vector<ReadRequest> bad(8, request(0, kPage));
  bad[0].bytes = 0;
  bad[1].bytes = kPage + 1;
  bad[2].offset = 512;
  bad[3].to = memory_.data() + 1;
  bad[4].to = nullptr;
  bad[5].needed = kPage + 1;
  bad[6].offset = ~uint64_t{0} / kPage * kPage;
  bad[7].offset = uint64_t{1} << 63;
  for (const ReadRequest& request : bad) {
    const auto submitted = queue.submit(request);
    ASSERT_FALSE(submitted);
    EXPECT_EQ(submitted.error().code, Code::kUsage);
  }
  EXPECT_FALSE(queue.take());
}

TEST_F(ReadQueueTest, IsFullAtNAndNotBefore) {
  ReadQueue queue(options(3, kPage));
  for (uint64_t tag = 0; tag < 3; ++tag) ASSERT_TRUE(queue.submit(request(tag, kPage)));
  const auto refused = queue.submit(request(3, kPage));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kBusy);
  const auto chunk = queue.take();
  queue.finish(*chunk, {});
  EXPECT_FALSE(queue.submit(request(3, kPage))) << "a finished read holds its place until taken";
  EXPECT_EQ(taken(queue), "0 0");
  EXPECT_TRUE(queue.submit(request(3, kPage)));
  EXPECT_FALSE(queue.submit(request(4, kPage)));
}

TEST_F(ReadQueueTest, UrgentGoesBeforeAllThatIsNotIssued) {
  ReadQueue queue(options(8, kPage));
  ASSERT_TRUE(queue.submit(request(1, 2 * kPage)));
  ASSERT_TRUE(queue.submit(request(2, kPage)));
  EXPECT_EQ(queue.take()->offset, 0u);
  ReadRequest urgent = request(3, kPage);
  urgent.offset = 7 * kPage;
  urgent.urgent = true;
  ASSERT_TRUE(queue.submit(urgent));
  EXPECT_EQ(queue.take()->offset, 7 * kPage);
  EXPECT_EQ(queue.take()->offset, kPage);
  EXPECT_EQ(queue.take()->slot, 1u);
  EXPECT_FALSE(queue.take());
}

TEST_F(ReadQueueTest, CancelDropsWhatIsNotIssued) {
  ReadQueue queue(options(4, kPage));
  ASSERT_TRUE(queue.submit(request(1, 3 * kPage)));
  ASSERT_TRUE(queue.submit(request(2, kPage)));
  auto chunk = queue.take();
  queue.cancel_queued();
  EXPECT_FALSE(queue.take());
  EXPECT_EQ(taken(queue), "2 cancelled");
  EXPECT_EQ(taken(queue), "nothing") << "the kernel still writes into the first";
  queue.finish(*chunk, {});
  EXPECT_EQ(taken(queue), "1 cancelled");
  EXPECT_EQ(queue.stats().errors, 0u);
  // What was wholly issued is not cancelled, and the queue goes on.
  ASSERT_TRUE(queue.submit(request(3, kPage)));
  chunk = queue.take();
  queue.cancel_queued();
  chunk->got = kPage;
  queue.finish(*chunk, {});
  EXPECT_EQ(taken(queue), "3 4096");
}

TEST_F(ReadQueueTest, AnErrorEndsItsRequestOnly) {
  ReadQueue queue(options(4, kPage));
  ASSERT_TRUE(queue.submit(request(1, 3 * kPage)));
  ASSERT_TRUE(queue.submit(request(2, kPage)));
  auto first = queue.take();
  auto second = queue.take();
  queue.finish(*first, *queue.answered(*first, -EIO));
  auto other = queue.take();  // the third chunk of the broken request is not read
  EXPECT_EQ(other->slot, 1u);
  EXPECT_EQ(taken(queue), "nothing");
  queue.finish(*second, *queue.answered(*second, kPage));
  EXPECT_EQ(taken(queue), "1 io");
  queue.finish(*other, *queue.answered(*other, kPage));
  EXPECT_EQ(taken(queue), "2 4096");
  EXPECT_EQ(queue.stats().errors, 1u);
}

TEST_F(ReadQueueTest, ShortAnswersAreContinuedAtABlock) {
  ReadQueue queue(options(4, 16 * kPage));
  ASSERT_TRUE(queue.submit(request(1, 8 * kPage)));
  auto chunk = queue.take();
  EXPECT_FALSE(queue.answered(*chunk, 3 * kPage));
  EXPECT_EQ(chunk->at, 3 * kPage);
  EXPECT_FALSE(queue.answered(*chunk, 2 * kPage + 100));
  EXPECT_EQ(chunk->at, 5 * kPage);
  EXPECT_EQ(chunk->got, 5 * kPage + 100);
  EXPECT_FALSE(queue.answered(*chunk, -EINTR));
  EXPECT_FALSE(queue.answered(*chunk, -EAGAIN));
  const auto outcome = queue.answered(*chunk, 3 * kPage);
  ASSERT_TRUE(outcome && *outcome);
  EXPECT_EQ(chunk->got, 8 * kPage);
}

TEST_F(ReadQueueTest, EndOfFileIsFineBehindWhatIsNeeded) {
  for (const size_t end : {kPage + 99, kPage + 100, kPage + 101, 2 * kPage}) {
    ReadQueue queue(options(4, 16 * kPage));
    ASSERT_TRUE(queue.submit(request(1, 2 * kPage, kPage + 100)));
    auto chunk = queue.take();
    auto outcome = queue.answered(*chunk, static_cast<int64_t>(end));
    if (!outcome) outcome = queue.answered(*chunk, static_cast<int64_t>(end - chunk->at));
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->has_value(), end >= kPage + 100) << end;
    if (!*outcome) {
      EXPECT_EQ(outcome->error().code, Code::kCorrupt);
    }
  }
}

TEST_F(ReadQueueTest, ChunksWhollyBehindWhatIsNeededMayBeEmpty) {
  ReadQueue queue(options(4, kPage));
  ASSERT_TRUE(queue.submit(request(1, 3 * kPage, 100)));
  for (const int64_t answer : {100, 0, 0}) {
    auto chunk = queue.take();
    const auto outcome = queue.answered(*chunk, answer);
    ASSERT_TRUE(outcome);
    EXPECT_TRUE(*outcome);
    queue.finish(*chunk, *outcome);
  }
  EXPECT_EQ(taken(queue), "1 100");
}

TEST_F(ReadQueueTest, EndlessRetriesEnd) {
  ReadQueue queue(options(4, kPage));
  ASSERT_TRUE(queue.submit(request(1, kPage)));
  auto chunk = queue.take();
  int answers = 0;
  std::optional<Result<void>> outcome;
  while (!outcome && answers < 5000) {
    outcome = queue.answered(*chunk, -EAGAIN);
    ++answers;
  }
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->error().code, Code::kIo);
}

TEST_F(ReadQueueTest, WakeEndsOneWait) {
  ReadQueue queue(options(4, kPage));
  queue.wake();
  EXPECT_FALSE(queue.next(std::chrono::hours(1)));
  ASSERT_TRUE(queue.submit(request(1, kPage)));
  const auto chunk = queue.take();
  queue.finish(*chunk, {});
  queue.wake();
  EXPECT_EQ(taken(queue), "1 0") << "a finished read goes first";
  EXPECT_FALSE(queue.next(nanoseconds::max()));
  EXPECT_FALSE(queue.next(nanoseconds{-1}));
  ASSERT_TRUE(queue.submit(request(2, kPage)));
  std::thread finisher([&] { queue.finish(*queue.take(), {}); });
  const auto done = queue.next(nanoseconds::max());
  finisher.join();
  ASSERT_TRUE(done) << "it did not wait";
  EXPECT_EQ(done->tag, 2u);
}

TEST_F(ReadQueueTest, StopEndsEverything) {
  ReadQueue queue(options(4, kPage));
  ASSERT_TRUE(queue.submit(request(1, kPage)));
  queue.stop();
  EXPECT_FALSE(queue.take_or_wait());
  EXPECT_EQ(taken(queue), "1 cancelled");
  EXPECT_EQ(queue.submit(request(2, kPage)).error().code, Code::kCancelled);
}

TEST(QuietThread, BlocksAllSignals) {
  sigset_t before, inside, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  auto thread = start_quiet_thread(
      [&] { pthread_sigmask(SIG_SETMASK, nullptr, &inside); }, "gantry-test");
  ASSERT_TRUE(thread);
  thread->join();
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM}) {
    EXPECT_EQ(sigismember(&inside, signal), 1);
    EXPECT_EQ(sigismember(&after, signal), sigismember(&before, signal));
  }
}

}  // namespace
}  // namespace gantry
