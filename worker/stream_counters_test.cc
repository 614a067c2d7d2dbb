// The statistics page, read by somebody else.
#include "worker/stream_counters.h"

#include <gtest/gtest.h>

#include <memory>

#include "stream/stats.h"

namespace gantry {
namespace {

std::string page_with(uint64_t magic) {
  const auto page = std::make_unique<StatsPage>();
  page->magic = magic;
  page->layers = 28;
  page->layers_streamed = 16;
  page->disk_bytes = 1000;
  page->disk_ns = 2'000'000'000;
  page->compute_ns = 4'000'000'000;
  page->stall_ns = 500'000'000;
  page->expert_misses = 7;
  return {reinterpret_cast<const char*>(page.get()), sizeof(StatsPage)};
}

TEST(StreamCounters, OfAPage) {
  const auto counters = parse_stream_counters(page_with(StatsPage::kMagic));
  ASSERT_TRUE(counters);
  EXPECT_EQ(counters->layers, 28U);
  EXPECT_EQ(counters->layers_streamed, 16U);
  EXPECT_EQ(counters->disk_bytes, 1000U);
  EXPECT_DOUBLE_EQ(counters->disk_s, 2);
  EXPECT_EQ(counters->expert_misses, 7U);
  EXPECT_DOUBLE_EQ(counters->overlap(), 0.75);  // 1.5 of the 2 seconds of reading were hidden
  EXPECT_DOUBLE_EQ(StreamCounters{}.overlap(), 0);
}

TEST(StreamCounters, AnythingElseIsNoPage) {
  const std::string page = page_with(StatsPage::kMagic);
  EXPECT_FALSE(parse_stream_counters(""));
  EXPECT_FALSE(parse_stream_counters(page_with(StatsPage::kMagic + 1)));
  EXPECT_FALSE(parse_stream_counters(std::string_view(page).substr(1)));
  EXPECT_FALSE(parse_stream_counters(page + "x"));
  EXPECT_FALSE(read_stream_counters(*make_real_os(), "/nowhere/at/all"));
}

}  // namespace
}  // namespace gantry
