// Bytes: arithmetic at the edges, parsing, printing.
#include "base/bytes.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Bytes, SumsSaturateAndDifferencesStopAtZero) {
  EXPECT_EQ((Bytes{UINT64_MAX} + Bytes{1}).n, UINT64_MAX);
  EXPECT_EQ((Bytes{3} - Bytes{5}).n, 0U);
  EXPECT_EQ((Bytes{5} - Bytes{3}).n, 2U);
  EXPECT_FALSE(checked_mul(uint64_t{1} << 63, 2));
  EXPECT_EQ(checked_mul(uint64_t{1} << 62, 2), uint64_t{1} << 63);
  EXPECT_FALSE(checked_add(UINT64_MAX, 1));
}

TEST(Bytes, ParsesWhatPeopleWrite) {
  EXPECT_EQ(parse_bytes("512")->n, 512U);
  EXPECT_EQ(parse_bytes("64KiB")->n, 65536U);
  EXPECT_EQ(parse_bytes("1.5 GiB")->n, 1610612736U);
  EXPECT_EQ(parse_bytes("6GB")->n, 6000000000U);
  EXPECT_EQ(parse_bytes("2g")->n, uint64_t{2} << 30);
}

TEST(Bytes, RefusesWhatIsNoSize) {
  for (const char* text : {"", "0", "-1", "-5GiB", "GiB", "1e9", "nan", "inf", "5 parsecs",
                           "99999999999TiB", "0x10", "1..5", "--5"}) {
    const Result<Bytes> got = parse_bytes(text);
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().code, Code::kUsage) << text;
    EXPECT_FALSE(got.error().remedy.empty());
  }
}

TEST(Bytes, BudgetsAreBytesOrShares) {
  EXPECT_EQ(parse_budget("80%")->of(Bytes{1000}).n, 800U);
  EXPECT_EQ(parse_budget("100 %")->of(Bytes{1000}).n, 1000U);
  EXPECT_EQ(parse_budget("1KiB")->of(Bytes{4096}).n, 1024U);
  EXPECT_EQ(parse_budget("1KiB")->of(Bytes{512}).n, 512U);
  EXPECT_EQ(parse_budget("0.6")->of(Bytes{1000}).n, 600U);
  EXPECT_EQ(parse_budget("1.0")->of(Bytes{1000}).n, 1000U);
  for (const char* text : {"0.0", "-0.5", "0%", "101%", "-3%", "%", "x%", "50%%", "0"}) {
    EXPECT_FALSE(parse_budget(text)) << text;
  }
}

TEST(Bytes, PrintsForPeople) {
  EXPECT_EQ(format_bytes(Bytes{0}), "0 B");
  EXPECT_EQ(format_bytes(Bytes{1023}), "1023 B");
  EXPECT_EQ(format_bytes(KiB(1)), "1.0 KiB");
  EXPECT_EQ(format_bytes(Bytes{MiB(1).n - 1}), "1.0 MiB");
  EXPECT_EQ(format_bytes(GiB(24)), "24.0 GiB");
}

}  // namespace
}  // namespace gantry
