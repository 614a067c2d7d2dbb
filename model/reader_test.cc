// The cursor: bounds, the first fault stays, the metadata limit at n and n + 1.
#include "model/reader.h"

#include <gtest/gtest.h>

#include "model/forge.h"

namespace gantry {
namespace {

TEST(Reader, ReadsNumbersAndText) {
  const std::string file = Ink().put<uint32_t>(7).put<int64_t>(-2).raw("abc").out;
  Reader in(as_bytes(file), KiB(1));
  EXPECT_EQ(in.number<uint32_t>({"a"}), 7U);
  EXPECT_EQ(in.number<int64_t>({"b"}), -2);
  EXPECT_EQ(in.text(3, {"c"}), "abc");
  EXPECT_EQ(in.left(), 0U);
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.metadata_read(), file.size());
}

TEST(Reader, NamesFieldAndOffsetOfTheFirstFaultAndKeepsIt) {
  const std::string file = Ink().put<uint32_t>(7).raw("ab").out;
  Reader in(as_bytes(file), KiB(1));
  in.number<uint32_t>({"a"});
  EXPECT_EQ(in.number<uint32_t>({"the size", 3, "x\x1b"}), 0U);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.error().code, Code::kCorrupt);
  EXPECT_EQ(in.error().message,
            "the size #3 of 'x?' at offset 4 needs 4 bytes, but the file ends after 2");
  EXPECT_EQ(in.text(2, {"later"}), "");
  in.refuse(Code::kTooLarge, "later");
  EXPECT_EQ(in.error().code, Code::kCorrupt);
  EXPECT_EQ(in.at(), 4U);
}

TEST(Reader, LengthsNearTheLastNumberDoNotWrap) {
  const std::string file(8, 'x');
  for (const uint64_t length : {uint64_t{8}, UINT64_MAX, UINT64_MAX - 3, uint64_t{1} << 63}) {
    Reader in(as_bytes(file), KiB(1));
    in.view(4, {"a"});
    in.pass(length, {"b"});
    EXPECT_FALSE(in.ok()) << length;
    EXPECT_EQ(in.at(), 4U);
  }
}

TEST(Reader, LimitsMetadataButNotWhatIsPassedOver) {
  const std::string file(64, 'x');
  Reader in(as_bytes(file), Bytes{8});
  in.pass(32, {"data"});
  in.view(8, {"all that is allowed"});
  EXPECT_TRUE(in.ok());
  in.view(0, {"nothing"});
  EXPECT_TRUE(in.ok());
  in.view(1, {"one more"});
  EXPECT_EQ(in.error().code, Code::kTooLarge);
}

}  // namespace
}  // namespace gantry
