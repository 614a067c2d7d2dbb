// Missing, damaged and large files.
#include "npu/json_file.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

TEST(JsonFiles, MissingIsNoError) {
  FakeOs os;
  os.files = {{"/m/a.json", R"({"x": 1})"}, {"/m/b.json", "{"},
              {"/m/c.json", std::string((1 << 20) + 1, ' ')}};
  EXPECT_EQ((**read_json_file(os, "/m/a.json"))["x"], 1);
  EXPECT_FALSE(read_json_file(os, "/m/none.json")->has_value());
  EXPECT_EQ(read_json_file(os, "/m/b.json").error().code, Code::kCorrupt);
  EXPECT_EQ(read_json_file(os, "/m/c.json").error().code, Code::kTooLarge);
  EXPECT_EQ(wrong_file("/m/a.json", "no list").message, "/m/a.json: no list");
}

}  // namespace
}  // namespace gantry
