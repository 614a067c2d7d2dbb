// Tests of the statistics page: as JSON, as a line, and as a file that two processes map.
#include "stream/stats.h"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "stream/test_bench.h"

namespace gantry {
namespace {

using nlohmann::json;

MappedStats page_of_our_own() { return std::move(*MappedStats::make("")); }

// A run of 28 layers, 16 of them streamed: 2 s of reading, 3 s of computing, 1 s of waiting.
void fill(StatsPage& page) {
  std::strncpy(page.inner, "CPU", sizeof page.inner - 1);
  std::strncpy(page.io, "uring", sizeof page.io - 1);
  page.layers = 28;
  page.layers_streamed = 16;
  page.resident_bytes = 12ull << 20;
  page.ring_bytes = 3ull << 20;
  page.budget_bytes = 1ull << 40;
  page.disk_bytes = 2'000'000'000;
  page.disk_ns = 2'000'000'000;
  page.compute_ns = 3'000'000'000;
  page.stall_ns = 1'000'000'000;
  page.graphs = 7;
  page.per_layer[27].streamed_bytes = 99;
  page.per_layer[28].loaded_bytes = 77;
  page.per_layer[28].stall_ns = 500'000'000;
}

TEST(Stats, JsonHoldsEveryNumber) {
  const auto stats = page_of_our_own();
  fill(stats.page());
  const json out = json::parse(stats_json(stats.page()));
  EXPECT_EQ(out["inner"], "CPU");
  EXPECT_EQ(out["io"], "uring");
  EXPECT_EQ(out["layers"], 28);
  EXPECT_EQ(out["layers_streamed"], 16);
  EXPECT_EQ(out["resident_bytes"], 12 << 20);
  EXPECT_EQ(out["ring_bytes"], 3 << 20);
  EXPECT_EQ(out["budget_bytes"], 1ull << 40);
  EXPECT_EQ(out["disk_bytes"], 2'000'000'000);
  EXPECT_DOUBLE_EQ(out["disk_seconds"], 2.0);
  EXPECT_DOUBLE_EQ(out["compute_seconds"], 3.0);
  EXPECT_DOUBLE_EQ(out["stall_seconds"], 1.0);
  EXPECT_EQ(out["graphs"], 7);
  for (const char* name :
       {"host_bytes", "expert_cache_bytes", "kv_compute_bytes", "copy_bytes", "copy_seconds",
        "segments", "pieces_loaded", "skips", "expert_hits", "expert_misses", "expert_bytes",
        "expert_used_bytes", "cpu_bytes", "cpu_seconds", "shrinks", "errors"}) {
    ASSERT_TRUE(out.contains(name)) << name;
    EXPECT_EQ(out[name], 0) << name;
  }
  ASSERT_EQ(out["per_layer"].size(), 29u) << "the last one is for what belongs to no layer";
  EXPECT_EQ(out["per_layer"][27]["layer"], 27);
  EXPECT_EQ(out["per_layer"][27]["streamed_bytes"], 99);
  EXPECT_EQ(out["per_layer"][28]["loaded_bytes"], 77);
  EXPECT_DOUBLE_EQ(out["per_layer"][28]["stall_seconds"], 0.5);
}

TEST(Stats, JsonOfAnEmptyAndOfAnOddPage) {
  const auto stats = page_of_our_own();
  EXPECT_EQ(json::parse(stats_json(stats.page()))["per_layer"].size(), 1u);
  std::memset(stats.page().inner, '"', sizeof stats.page().inner);  // no end, and quotes
  std::memcpy(stats.page().io, "a\\\n\1b", 6);
  stats.page().layers = UINT64_MAX - 1;
  const json out = json::parse(stats_json(stats.page()));
  EXPECT_EQ(out["inner"], "");
  EXPECT_EQ(out["io"], "ab");
  EXPECT_EQ(out["per_layer"].size(), kStatsLayersMax);
}

TEST(Stats, SummaryIsOneLineThatSaysWhatHappened) {
  const auto stats = page_of_our_own();
  StatsPage& page = stats.page();
  fill(page);
  const auto has = [&](const std::string& text) {
    return stats_summary(page).find(text) != std::string::npos;
  };
  EXPECT_EQ(stats_summary(page).find('\n'), std::string::npos);
  EXPECT_TRUE(has("gantry: 16 of 28 layers streamed")) << stats_summary(page);
  EXPECT_TRUE(has("resident 12.0 MiB, ring 3.0 MiB"));
  EXPECT_TRUE(has("at 1000 MB/s (uring)"));
  EXPECT_TRUE(has("computed 3.00 s, waited 1.00 s, overlap 50 %"));
  EXPECT_FALSE(has("expert"));
  EXPECT_FALSE(has("errors"));
  page.errors = 3;
  page.expert_cache_bytes = 5 << 20;
  page.expert_hits = 3;
  page.expert_misses = 1;
  page.copy_bytes = 1 << 20;
  EXPECT_TRUE(has("3 errors"));
  EXPECT_TRUE(has("expert cache 5.0 MiB (75 % of 4 experts found)"));
  EXPECT_TRUE(has("copied 1.0 MiB"));
  page.stall_ns = 5'000'000'000;  // waited longer than anything was moved
  EXPECT_TRUE(has("overlap 0 %"));
}

TEST(Stats, SummaryOfAModelThatIsWhole) {
  const auto stats = page_of_our_own();
  EXPECT_NE(stats_summary(stats.page()).find("nothing was moved"), std::string::npos);
  stats.page().expert_cache_bytes = 1;  // no batch yet: no share of nothing
  EXPECT_NE(stats_summary(stats.page()).find("0 % of 0"), std::string::npos);
}

TEST(Stats, OneFileIsOnePageForAllWhoMapIt) {
  const TestFolder folder;
  const auto written = MappedStats::make(folder.file("stats"));
  ASSERT_TRUE(written);
  const auto seen = MappedStats::open(folder.file("stats"));
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->page().magic, StatsPage::kMagic);
  written->page().graphs = 41;
  seen->page().graphs++;
  EXPECT_EQ(written->page().graphs, 42u);
  MappedStats moved = std::move(*MappedStats::open(folder.file("stats")));
  EXPECT_EQ(moved.page().graphs, 42u);
  const auto again = MappedStats::make(folder.file("stats"));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->page().graphs, 0u) << "a new run begins at nothing";
}

TEST(Stats, PagesOfOthersAreRefused) {
  const TestFolder folder;
  EXPECT_EQ(MappedStats::open(folder.file("none")).error().code, Code::kNotFound);
  const std::string page(sizeof(StatsPage), 'x');
  for (const std::string& bytes :
       {page, page.substr(1), page + "x", std::string(), std::string(sizeof(StatsPage), '\0')}) {
    const auto refused = MappedStats::open(folder.write("foreign", bytes));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kCorrupt);
    EXPECT_NE(refused.error().message.find("foreign"), std::string::npos);
    EXPECT_EQ(slurp(folder.file("foreign")), bytes);
  }
  const auto refused = MappedStats::make(folder.file("no folder/stats"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kNotFound);
}

}  // namespace
}  // namespace gantry
