// Bodies of requests, right and wrong, limits at n and n + 1.
#include "npu/ask.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "npu/limits.h"

namespace gantry {
namespace {

using nlohmann::json;

void refused(const json& body, Code code, const std::string& part, const char* field = "texts") {
  const auto ask = read_embed_ask(body, field);
  ASSERT_FALSE(ask) << body.dump().substr(0, 80);
  EXPECT_EQ(ask.error().code, code);
  EXPECT_NE(ask.error().message.find(part), std::string::npos) << ask.error().message;
}

void infer_refused(const json& body, Code code, const std::string& part) {
  const auto ask = read_infer_ask(body);
  ASSERT_FALSE(ask) << body.dump().substr(0, 80);
  EXPECT_EQ(ask.error().code, code);
  EXPECT_NE(ask.error().message.find(part), std::string::npos) << ask.error().message;
}

TEST(EmbedAsk, BothShapes) {
  auto ask = read_embed_ask({{"texts", {"a", "b"}}, {"model", "m"}}, "texts");
  ASSERT_TRUE(ask);
  EXPECT_EQ(ask->texts, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(ask->model, "m");
  EXPECT_FALSE(ask->base64);
  ask = read_embed_ask({{"input", "one"}, {"encoding_format", "base64"}}, "input");
  ASSERT_TRUE(ask);
  EXPECT_EQ(ask->texts, std::vector<std::string>{"one"});
  EXPECT_TRUE(ask->base64);
}

TEST(EmbedAsk, WrongOnesAreNamed) {
  refused(json::object(), Code::kUsage, "texts must be");
  refused({{"texts", json::array()}}, Code::kUsage, "texts must be");
  refused({{"texts", 3}}, Code::kUsage, "texts must be");
  refused({{"texts", {"a", ""}}}, Code::kUsage, "texts[1] is empty");
  refused({{"texts", {"a", 3}}}, Code::kUsage, "texts[1] must be a text");
  refused({{"input", ""}}, Code::kUsage, "input is empty", "input");
  refused({{"texts", {"a"}}, {"model", 3}}, Code::kUsage, "model");
  refused({{"texts", {"a"}}, {"encoding_format", "hex"}}, Code::kUsage, "encoding_format");
}

TEST(EmbedAsk, LimitsHold) {
  json texts = json::array();
  for (uint32_t i = 0; i < kTextsMax; ++i) texts.push_back("x");
  EXPECT_TRUE(read_embed_ask({{"texts", texts}}, "texts"));
  texts.push_back("x");
  refused({{"texts", texts}}, Code::kTooLarge, "2049 texts, at most 2048");
  const std::string longest(kTextMax.n, 'x');
  EXPECT_TRUE(read_embed_ask({{"texts", {longest}}}, "texts"));
  refused({{"texts", {longest + "x"}}}, Code::kTooLarge, "at most 262144");
}

TEST(InferAsk, OptionsBesideOrBelow) {
  const auto ask = read_infer_ask({{"prompt", "Hello."},
                                   {"stream", true},
                                   {"temperature", 0},
                                   {"options", {{"max_tokens", 7}, {"stop", "\n"}, {"seed", 1}}}});
  ASSERT_TRUE(ask) << describe(ask.error());
  EXPECT_TRUE(ask->stream);
  EXPECT_EQ(ask->question.answer_tokens, 7U);
  EXPECT_EQ(ask->question.sampling,
            json({{"temperature", 0}, {"seed", 1}, {"stop", {"\n"}}}));
}

TEST(InferAsk, WrongOnesAreNamed) {
  infer_refused(json::object(), Code::kUsage, "prompt is missing");
  infer_refused({{"prompt", ""}}, Code::kUsage, "prompt is empty");
  infer_refused({{"prompt", "x"}, {"stream", 1}}, Code::kUsage, "stream");
  infer_refused({{"prompt", "x"}, {"options", 1}}, Code::kUsage, "options");
  infer_refused({{"prompt", "x"}, {"temperature", "hot"}}, Code::kUsage, "temperature");
  infer_refused({{"prompt", "x"}, {"top_p", 1.01}}, Code::kUsage, "top_p");
  infer_refused({{"prompt", "x"}, {"top_k", 1.5}}, Code::kUsage, "top_k must be a whole");
  infer_refused({{"prompt", "x"}, {"max_tokens", 0}}, Code::kUsage, "max_tokens");
  infer_refused({{"prompt", "x"}, {"max_tokens", kAnswerTokensMax + 1}}, Code::kUsage, "1024");
  infer_refused({{"prompt", "x"}, {"stop", {"a", ""}}}, Code::kUsage, "stop");
  infer_refused({{"prompt", std::string(kTextMax.n + 1, 'x')}}, Code::kTooLarge, "prompt has");
}

Result<ImageAsk> images(const json& body) {
  return read_image_ask({.method = "POST", .target = "/images/classify", .body = body.dump()});
}

void images_refused(const json& body, Code code, const std::string& says) {
  const auto ask = images(body);
  ASSERT_FALSE(ask) << body.dump().substr(0, 80);
  EXPECT_EQ(ask.error().code, code);
  EXPECT_NE(ask.error().message.find(says), std::string::npos) << ask.error().message;
}

TEST(ImageAsk, BytesComeInJsonOrAForm) {
  const auto ask = images({{"images", {"aGVsbG8=", "data:image/png;base64,eA=="}}, {"top", 3}});
  ASSERT_TRUE(ask) << describe(ask.error());
  EXPECT_EQ(ask->images, (std::vector<std::string>{"hello", "x"}));
  EXPECT_EQ(ask->top, 3U);
  http::Request form{.method = "POST", .target = "/images/classify"};
  form.headers = {{"Content-Type", "multipart/form-data; boundary=XX"}};
  for (const auto& [name, value] : {std::pair{"file", "hello"}, {"file", "x"}, {"model", "eye"},
                                    {"top", "7"}}) {
    form.body += std::string("--XX\r\nContent-Disposition: form-data; name=\"") + name +
                 "\"\r\n\r\n" + value + "\r\n";
  }
  form.body += "--XX--\r\n";
  const auto sent = read_image_ask(form);
  ASSERT_TRUE(sent) << describe(sent.error());
  EXPECT_EQ(sent->images, ask->images);
  EXPECT_EQ(sent->model, "eye");
  EXPECT_EQ(sent->top, 7U);
}

TEST(ImageAsk, WrongOnesAreNamed) {
  images_refused(json::object(), Code::kUsage, "images must be");
  images_refused({{"images", json::array()}}, Code::kUsage, "no picture");
  images_refused({{"images", {"https://x/y.png"}}}, Code::kUsage, "none is fetched");
  images_refused({{"images", {"data:image/png,x"}}}, Code::kUsage, "without base 64");
  images_refused({{"images", {"eA==", "?"}}}, Code::kUsage, "images[1] is no base 64");
  images_refused({{"images", {1}}}, Code::kUsage, "images[0] must be a text");
  for (const json& top : {json(0), json(1001), json(1.5), json("x")}) {
    images_refused({{"images", {"eA=="}}, {"top", top}}, Code::kUsage, "top must be");
  }
  EXPECT_TRUE(images({{"images", std::vector<std::string>(kImagesMax, "eA==")}, {"top", 1000}}));
  images_refused({{"images", std::vector<std::string>(kImagesMax + 1, "eA==")}}, Code::kTooLarge,
                 "more than 32");
}

TEST(Base64, Floats) {
  EXPECT_EQ(base64_floats({}), "");
  EXPECT_EQ(base64_floats({1.F}), "AACAPw==");
  EXPECT_EQ(base64_floats({1.F, -2.F}), "AACAPwAAAMA=");
  EXPECT_EQ(base64_floats({1.F, -2.F, 0.5F}), "AACAPwAAAMAAAAA/");
}

}  // namespace
}  // namespace gantry
