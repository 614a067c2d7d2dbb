// Tests of what the OpenAI endpoints ask of a body.
#include "serve/openai_check.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gantry {
namespace {

using nlohmann::json;

json chat_with(const json& part) {
  return {{"messages", {{{"role", "user"}, {"content", json::array({part})}}}}};
}

TEST(Check, NothingIsFetchedForARequest) {
  const json good = {{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64,AA"}}}};
  EXPECT_FALSE(check_chat(chat_with(good)));
  EXPECT_FALSE(check_chat(chat_with({{"type", "text"}, {"text", "http://in.the.text"}})));
  EXPECT_FALSE(check_chat(chat_with({{"type", "image_url"}, {"image_url", "data:image/png,x"}})));
  for (const char* url : {"http://169.254.169.254/", "https://a/b.png", "file:///etc/passwd", "",
                          "/etc/passwd", "DATA:x", " data:x"}) {
    EXPECT_TRUE(check_chat(chat_with({{"image_url", {{"url", url}}}}))) << url;
    EXPECT_TRUE(check_chat(chat_with({{"image_url", url}}))) << url;
    EXPECT_TRUE(check_chat(chat_with({{"video_url", {{"url", url}}}}))) << url;
    EXPECT_TRUE(check_chat(chat_with({{"input_audio", {{"url", url}}}}))) << url;
  }
  EXPECT_TRUE(check_chat(chat_with({{"image_url", 7}})));
  EXPECT_TRUE(check_chat(chat_with({{"image_url", {{"url", 7}}}})));
  EXPECT_TRUE(check_chat(chat_with({{"image_url", json::object()}})));
}

TEST(Check, Shapes) {
  EXPECT_TRUE(check_chat({{"messages", "text"}}));
  EXPECT_TRUE(check_chat({{"messages", json::array()}}));
  EXPECT_TRUE(check_chat({{"messages", {"text"}}}));
  json body = chat_with({{"type", "text"}, {"text", "a"}});
  body["stream"] = "yes";
  EXPECT_EQ(check_chat(body)->param, "stream");
  body["stream"] = true;
  EXPECT_FALSE(check_chat(body));
  EXPECT_TRUE(check_completion({{"prompt", 7}}));
  EXPECT_FALSE(check_completion({{"prompt", json::array({1, 2})}}));
  EXPECT_TRUE(check_embedding({{"input", json::array()}}));
  EXPECT_FALSE(check_embedding({{"input", "text"}}));
}

TEST(Check, PrivateByFieldOrHeader) {
  http::Request request;
  bool stays = true;
  EXPECT_FALSE(check_private(request, json::object(), &stays));
  EXPECT_FALSE(stays);
  EXPECT_FALSE(check_private(request, {{"private", true}}, &stays));
  EXPECT_TRUE(stays);
  EXPECT_EQ(check_private(request, {{"private", "yes"}}, &stays)->param, "private");
  request.headers = {{"x-gantry-private", "1"}};
  EXPECT_FALSE(check_private(request, {{"private", false}}, &stays));
  EXPECT_TRUE(stays);
  request.headers = {{"X-Gantry-Private", "maybe"}};
  EXPECT_EQ(check_private(request, json::object(), &stays)->param, "X-Gantry-Private");
}

}  // namespace
}  // namespace gantry
