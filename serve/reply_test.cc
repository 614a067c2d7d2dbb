// Tests of error objects and of JSON from outside.
#include "serve/reply.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gantry {
namespace {

using nlohmann::json;

TEST(Reply, ErrorObjects) {
  const auto response = error_response(api_error({Code::kBusy, "taken", "wait"}));
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.header("Retry-After"), "5");
  const json error = json::parse(response.body)["error"];
  EXPECT_EQ(error["message"], "taken (wait)");
  EXPECT_EQ(error["type"], "server_error");
  EXPECT_EQ(error["code"], "busy");
  EXPECT_TRUE(error["param"].is_null());
  EXPECT_EQ(error_response({429, "m", "c", {}}).header("Retry-After"), "5");
  EXPECT_EQ(error_response({404, "m", "c", {}}).header("Retry-After"), "");
}

TEST(Reply, BytesThatAreNoTextAreReplaced) {
  EXPECT_EQ(dump(json("a\xff")), "\"a\xef\xbf\xbd\"");
}

TEST(Json, DepthAtNAndNPlusOne) {
  const auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_TRUE(parse_json(nested(kJsonDepthMax)));
  EXPECT_FALSE(parse_json(nested(kJsonDepthMax + 1)));
  EXPECT_FALSE(parse_json(std::string(10'000'000, '[')));
}

TEST(Json, ValuesAtNAndNPlusOne) {
  // An array of n zeros counts n + 1 values and one for the whole.
  const auto zeros = [](size_t n) {
    std::string text = "[0";
    for (size_t i = 1; i < n; ++i) text += ",0";
    return text + "]";
  };
  EXPECT_TRUE(parse_json(zeros(kJsonValuesMax - 1)));
  const auto refused = parse_json(zeros(kJsonValuesMax));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kTooLarge);
}

TEST(Json, BracketsInStringsDoNotCount) {
  const auto value = parse_json("\"" + std::string(1000, '[') + "\\\"" + "\"");
  ASSERT_TRUE(value);
  EXPECT_EQ(value->get<std::string>().size(), 1001u);
}

TEST(Json, RefusesWhatIsNone) {
  for (const char* text : {"", "{", "nul", "{\"a\":1}x", "\"\xff\"", "{'a':1}", "1e999", "\"\\"}) {
    EXPECT_FALSE(parse_json(text)) << text;
  }
  EXPECT_FALSE(parse_json_object("[]"));
  EXPECT_TRUE(parse_json_object("{}"));
}

}  // namespace
}  // namespace gantry
