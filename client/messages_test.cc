// Tests of messages and readings: each door's shapes, whole and in pieces, and what is no answer.
#include "client/messages.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "http/multipart.h"

namespace gantry {
namespace {

using nlohmann::json;

Order order_of(Work work) {
  Order order;
  order.work = work;
  order.model = "m";
  order.texts = {"hello"};
  return order;
}

Result<Given> read(const Order& order, Door door, const http::Response& response,
                   size_t step = 1000) {
  Reading reading(order, door);
  (void)reading.head(response);
  for (size_t at = 0; at < response.body.size(); at += step) {
    if (!reading.piece(std::string_view(response.body).substr(at, step))) break;
  }
  return reading.end();
}

const http::Headers kEvents = {{"Content-Type", "text/event-stream"}};

TEST(Messages, EachDoorHasItsShape) {
  Order order = order_of(Work::kInfer);
  order.tokens_max = 5;
  const auto npu = message_of(order, Door::kNpu, "m");
  EXPECT_EQ(npu->target, "/inference");
  EXPECT_EQ(json::parse(npu->body)["prompt"], "hello");
  const auto cloud = message_of(order, Door::kCloud, "large");
  EXPECT_EQ(cloud->target, "/v1/chat/completions");
  EXPECT_EQ(json::parse(cloud->body)["model"], "large");
  EXPECT_EQ(json::parse(cloud->body)["messages"][0]["content"], "hello");
  EXPECT_EQ(json::parse(cloud->body)["max_tokens"], 5);
  EXPECT_FALSE(json::parse(cloud->body).contains("temperature"));
  order.system = "Be brief.";
  EXPECT_EQ(message_of(order, Door::kNpu, "m").error().code, Code::kUnsupported);
  EXPECT_EQ(json::parse(message_of(order, Door::kLocal, "m")->body)["messages"][0]["role"],
            "system");
  EXPECT_FALSE(message_of(order_of(Work::kSpeak), Door::kNpu, "m"));
  EXPECT_FALSE(message_of(order_of(Work::kTranscribe), Door::kCloud, "m"));
}

TEST(Messages, ARecordingIsAFormWhateverIsInIt) {
  Order order = order_of(Work::kTranscribe);
  order.recording = "RIFF\r\n--gantry-client\r\n--gantry-client-";
  const auto message = message_of(order, Door::kLocal, "ears");
  const auto form = http::parse_form(message->header("Content-Type"), message->body);
  ASSERT_TRUE(form) << form.error().message;
  ASSERT_EQ(form->size(), 3U);
  EXPECT_EQ((*form)[0].content, "ears");
  EXPECT_EQ((*form)[2].name, "file");
  EXPECT_EQ((*form)[2].content, order.recording);
}

TEST(Reading, StreamsOfBothKinds) {
  Order order = order_of(Work::kInfer);
  std::string seen;
  const http::Response npu{200, kEvents,
                           "data: {\"text\":\"on\"}\n\ndata: {\"text\":\"e\"}\n\n"
                           "data: {\"done\":true,\"model\":\"m\",\"device\":\"NPU\"}\n\n"};
  const http::Response openai{
      200,
      {kEvents[0], {"X-Gantry-Answered-By", "gpu0; model=m"}},
      "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n"
      "data: {\"choices\":[{\"delta\":{\"content\":\"one\"}}]}\n\n"
      "data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n"};
  for (const size_t step : {size_t{1}, size_t{7}, size_t{1000}}) {
    EXPECT_EQ(read(order, Door::kNpu, npu, step)->text, "one");
    EXPECT_EQ(read(order, Door::kNpu, npu, step)->device, "NPU");
    EXPECT_EQ(read(order, Door::kLocal, openai, step)->text, "one");
    EXPECT_EQ(read(order, Door::kLocal, openai, step)->device, "gpu0");
  }
  order.on_piece = [&seen](std::string_view text) { return (seen += text).size() < 3; };
  EXPECT_EQ(read(order, Door::kNpu, npu).error().code, Code::kCancelled);
  EXPECT_EQ(seen, "one");
}

TEST(Reading, WhatIsNoAnswerSaysWhy) {
  const Order order = order_of(Work::kInfer);
  const auto code = [&](Door door, const http::Response& response) {
    const auto given = read(order, door, response);
    return given ? "ok" : std::string(code_name(given.error().code));
  };
  EXPECT_EQ(code(Door::kLocal, {200, kEvents, "data: {\"choices\":[]}\n\n"}), "worker_failed");
  EXPECT_EQ(code(Door::kLocal, {200, kEvents, "data: nonsense\n\n"}), "corrupt");
  EXPECT_EQ(code(Door::kNpu, {200, kEvents, "data: {\"error\":{},\"done\":true}\n"}),
            "worker_failed");
  EXPECT_EQ(code(Door::kLocal, {404, {}, ""}), "not_found");
  EXPECT_EQ(code(Door::kCloud, {402, {}, ""}), "permission");
  EXPECT_EQ(code(Door::kLocal, {400, {}, R"({"error":{"code":"does_not_fit"}})"}), "does_not_fit");
  EXPECT_EQ(code(Door::kLocal, {503, {}, "<html>"}), "busy");
  const auto broke = read(order, Door::kLocal, {502, {}, R"({"error":{"message":"broke"}})"});
  EXPECT_EQ(broke.error().message, "broke");
}

TEST(Reading, EmbeddingsAreAsManyAsTexts) {
  Order order = order_of(Work::kEmbed);
  const auto embed = [&](const std::string& body) {
    return read(order, Door::kNpu, {200, {{"Content-Type", "application/json"}}, body});
  };
  EXPECT_EQ(embed(R"({"data":[{"embedding":[1,2.5]}],"device":"CPU"})")->vectors[0],
            (std::vector<float>{1, 2.5F}));
  EXPECT_EQ(embed(R"({"data":[{"embedding":[1]}],"device":"CPU"})")->device, "CPU");
  for (const char* bad : {"[]", "{}", R"({"data":[]})", R"({"data":[{"embedding":["x"]}]})",
                          R"({"data":[{"embedding":[]}]})", R"({"data":[7]})",
                          R"({"data":[{"embedding":[1]},{"embedding":[1]}]})"}) {
    EXPECT_EQ(embed(bad).error().code, Code::kCorrupt) << bad;
  }
}

TEST(Reading, TranscriptsAndSound) {
  const Order heard = order_of(Work::kTranscribe), spoken = order_of(Work::kSpeak);
  EXPECT_EQ(read(heard, Door::kLocal, {200, {}, R"({"text":"call"})"})->text, "call");
  EXPECT_EQ(read(heard, Door::kLocal, {200, {}, "{}"}).error().code, Code::kCorrupt);
  EXPECT_EQ(read(spoken, Door::kLocal, {200, {{"Content-Type", "audio/wav"}}, "RIFF.."})->sound,
            "RIFF..");
}

}  // namespace
}  // namespace gantry
