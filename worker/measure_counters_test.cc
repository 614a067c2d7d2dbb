// Counters from text of /proc, and their differences.
#include "worker/measure_counters.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

constexpr std::string_view kStatus =
    "Name:\tx VmHWM: 5 kB\nVmPeak:\t  900 kB\nVmHWM:\t     123 kB\nRssAnon:\t 0 kB\nBad:\tx kB\n";

TEST(StatusField, KibibytesOfTheLineThatStartsWithTheName) {
  EXPECT_EQ(status_field(kStatus, "VmHWM"), 123U << 10);
  EXPECT_EQ(status_field(kStatus, "RssAnon"), 0U);
  EXPECT_EQ(status_field(kStatus, "VmPeak"), 900U << 10);
}

TEST(StatusField, WhatIsMissingOrNoNumberIsNothing) {
  EXPECT_EQ(status_field(kStatus, "RssFile"), std::nullopt);
  EXPECT_EQ(status_field(kStatus, "Bad"), std::nullopt);
  EXPECT_EQ(status_field(kStatus, "VmPea"), std::nullopt);
  EXPECT_EQ(status_field("VmHWM:", "VmHWM"), std::nullopt);
  EXPECT_EQ(status_field("", "VmHWM"), std::nullopt);
}

TEST(IoField, BytesAsTheyStand) {
  const std::string_view io = "rchar: 7\nread_bytes: 4096\ncancelled_write_bytes: 1\n";
  EXPECT_EQ(io_field(io, "read_bytes"), 4096U);
  EXPECT_EQ(io_field(io, "write_bytes"), std::nullopt);
}

TEST(OwnMemory, HasAPeakThatIsAtLeastWhatIsThere) {
  const nlohmann::json memory = own_memory();
  EXPECT_GE(memory.at("peak_rss_bytes").get<uint64_t>(),
            memory.at("anonymous_bytes").get<uint64_t>());
}

TEST(Counted, SubtractsCountersAndLeavesOutSizesAndLists) {
  const nlohmann::json before = {{"disk_bytes", 100}, {"stall_seconds", 1.5}, {"graphs", 7}};
  const nlohmann::json after = {{"disk_bytes", 350},     {"stall_seconds", 2.0}, {"graphs", 3},
                                {"resident_bytes", 900}, {"inner", "CPU"},       {"copy_bytes", 5},
                                {"per_layer", nlohmann::json::array()}};
  const nlohmann::json want = {{"disk_bytes", 250},
                               {"stall_seconds", 0.5},
                               {"graphs", 0},  // a counter that was set back is no huge number
                               {"copy_bytes", 5}};
  EXPECT_EQ(counted(before, after), want);
  EXPECT_EQ(counted(nlohmann::json::object(), nlohmann::json::object()), nlohmann::json::object());
}

}  // namespace
}  // namespace gantry
