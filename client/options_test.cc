// Tests of the options: each field, and what each refusal names.
#include "client/options.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

TEST(ClientOptions, WithoutAnyItIsWhatRunsHere) {
  FakeOs os;
  const auto options = read_client_options("", os);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->npu, "127.0.0.1:8081");
  EXPECT_EQ(options->local, "127.0.0.1:8484");
  EXPECT_EQ(options->cloud, "");
  os.environment = {{"GANTRY_HOST", "127.0.0.1:9"}, {"GANTRY_API_KEY", "k"}};
  EXPECT_EQ(read_client_options("{}", os)->local, "127.0.0.1:9");
  EXPECT_EQ(read_client_options("{}", os)->key, "k");
}

TEST(ClientOptions, AllOfThem) {
  FakeOs os;
  os.environment["KEY"] = "sk";
  const auto options = read_client_options(R"({
    "npu": "", "local": "unix:/run/x.sock", "cloud": "https://api.example.com/v1",
    "npu_ms": 5, "local_ms": 6, "cloud_ms": 7, "cloud_key_env": "KEY", "cloud_ca_file": "/ca",
    "cloud_models": {"chat": "large"}, "cloud_allow": ["chat"], "cloud_deny": ["diary"],
    "spend_max": 2, "price_in": 0.15, "price_out": 0.6, "ledger": "/spent"})", os);
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->npu, "");
  EXPECT_EQ(options->npu_limit, Millis(5));
  EXPECT_EQ(options->cloud_limit, Millis(7));
  EXPECT_EQ(options->cloud_key, "sk");
  EXPECT_EQ(options->cloud_models.at("chat"), "large");
  EXPECT_EQ(options->cloud_allow->front(), "chat");
  EXPECT_EQ(options->cloud_deny.front(), "diary");
  EXPECT_EQ(*options->spend_max, 2);
}

TEST(ClientOptions, EachRefusalNamesTheField) {
  FakeOs os;
  for (const auto& [text, says] :
       {std::pair{"[]", "no JSON object"}, {"{", "no JSON object"}, {"{\"cloude\": 1}", "cloude"},
        {"{\"npu\": 1}", "npu"}, {"{\"npu_ms\": 0}", "npu_ms"},
        {"{\"npu_ms\": 86400001}", "npu_ms"},
        {"{\"local\": \"nowhere\"}", "nowhere"}, {"{\"cloud_allow\": \"x\"}", "cloud_allow"},
        {"{\"cloud_deny\": [1]}", "cloud_deny"}, {"{\"cloud_models\": [\"x\"]}", "cloud_models"},
        {"{\"cloud_key_env\": \"NOT\"}", "NOT"}, {"{\"spend_max\": -1}", "spend_max"},
        {"{\"spend_max\": 1}", "ledger"}, {"{\"cloud\": \"http://api.example.com/v1\"}", "clear"},
        {"{\"cloud\": \"ftp://x\"}", "https"}}) {
    const auto wrong = read_client_options(text, os);
    ASSERT_FALSE(wrong) << text;
    EXPECT_EQ(wrong.error().code, Code::kUsage) << text;
    EXPECT_NE(wrong.error().message.find(says), std::string::npos) << wrong.error().message;
  }
  EXPECT_TRUE(read_client_options("{\"npu_ms\": 86400000}", os));
  EXPECT_EQ(read_client_options(std::string(65'537, ' '), os).error().code, Code::kTooLarge);
}

}  // namespace
}  // namespace gantry
