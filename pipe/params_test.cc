// Params: unknown keys and wrong types are named.
#include "pipe/params.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gantry {
namespace {

TEST(Params, EmptyIsAnObject) { EXPECT_TRUE(parse_params("", {"a"})->empty()); }

TEST(Params, RefusesWhatItDoesNotKnow) {
  for (const char* text : {"[]", "3", "{", "null", "{\"b\":1}"}) {
    const Result<nlohmann::json> got = parse_params(text, {"a"});
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().code, Code::kUsage) << text;
  }
  EXPECT_NE(parse_params("{\"b\":1}", {"a"}).error().message.find("'b'"), std::string::npos);
}

TEST(Params, TextsAndNumbersAreChecked) {
  const nlohmann::json params = {{"t", "x"}, {"n", 3}, {"none", nullptr}};
  EXPECT_EQ(*text_param(params, "t", "y"), "x");
  EXPECT_EQ(*text_param(params, "absent", "y"), "y");
  EXPECT_EQ(*text_param(params, "none", "y"), "y");
  EXPECT_FALSE(text_param(params, "n", "y"));
  EXPECT_EQ(*number_param(params, "n", 1, 3, 4), 3);
  EXPECT_EQ(*number_param(params, "absent", 1, 3, 4), 1);
  EXPECT_FALSE(number_param(params, "n", 1, 4, 5));
  EXPECT_FALSE(number_param(params, "n", 1, 1, 2));
  EXPECT_FALSE(number_param(params, "t", 1, 1, 2));
}

}  // namespace
}  // namespace gantry
