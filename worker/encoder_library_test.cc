// What loads, and what does not.
#include "worker/encoder_library.h"

#include <algorithm>

#include "worker/encoder_test_bench.h"

namespace gantry {
namespace {

TEST(EncoderLibrary, OnlyOneOfOursLoads) {
  const TestFolder folder;
  for (const std::string& path :
       {folder.file("none.so"), folder.write("text.so", "text"), std::string("libm.so.6")}) {
    const auto library = EncoderLibrary::load(path);
    ASSERT_FALSE(library) << path;
    EXPECT_EQ(library.error().code, Code::kUnavailable);
  }
  const auto library = EncoderLibrary::load(GANTRY_ENCODER);
  ASSERT_TRUE(library) << library.error().message;
  const auto devices = library->devices();
  ASSERT_TRUE(devices);
  EXPECT_NE(std::ranges::find(*devices, "CPU"), devices->end());
  const auto none = library->open(folder.file("none.xml"), "CPU", {}, 1);
  ASSERT_FALSE(none);
  EXPECT_FALSE(none.error().message.empty());
}

}  // namespace
}  // namespace gantry
