// Tests of chat, completions and embeddings through the server, the fake worker behind them.
#include "serve/test_server.h"

namespace gantry {
namespace {

using Mode = FakeLlama::Mode;

class OpenAi : public ApiTest {
 protected:
  json chat(const std::string& model = "chat", bool stream = false) {
    return {{"model", model},
            {"messages", {{{"role", "user"}, {"content", "hello"}}}},
            {"stream", stream}};
  }
};

TEST_F(OpenAi, PassesAnAnswerOn) {
  start();
  foreman_.llama.set(Mode::kAnswer, "{\"model\":\"chat\",\"choices\":[]}");
  const auto response = post("/v1/chat/completions", chat());
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "{\"model\":\"chat\",\"choices\":[]}");
  EXPECT_EQ(response.header("Content-Type"), "application/json");
  const std::string heard = foreman_.llama.heard();
  EXPECT_TRUE(heard.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
  EXPECT_TRUE(heard.ends_with(chat().dump())) << heard;
  EXPECT_EQ(foreman_.sessions, 0) << "the session is released";
  EXPECT_FALSE(foreman_.trusted);
}

TEST_F(OpenAi, AnAnswerSaysWhoGaveIt) {
  start();
  const auto response = post("/v1/chat/completions", chat());
  EXPECT_EQ(response.header("X-Gantry-Answered-By"), "cpu; model=chat");
  EXPECT_EQ(response.header("X-Gantry-Why"), "");
  EXPECT_FALSE(foreman_.stays);
  json body = chat();
  body["private"] = true;
  EXPECT_EQ(post("/v1/chat/completions", body).status, 200);
  EXPECT_TRUE(foreman_.stays);
  body["private"] = "yes";
  EXPECT_EQ(post("/v1/chat/completions", body).status, 400);
}

TEST_F(OpenAi, TheWorkersPaceIsKept) {
  start();
  foreman_.llama.set(Mode::kAnswer, R"({"timings":{"predicted_n":7,"predicted_ms":100.0}})");
  EXPECT_EQ(post("/v1/chat/completions", chat()).status, 200);
  EXPECT_EQ(foreman_.tokens, 7U);
}

TEST_F(OpenAi, EachEndpointReachesItsOwn) {
  start();
  EXPECT_EQ(post("/v1/completions", json{{"model", "chat"}, {"prompt", "a"}}).status, 200);
  EXPECT_TRUE(foreman_.llama.heard().starts_with("POST /v1/completions "));
  EXPECT_EQ(post("/v1/embeddings", json{{"model", "vec"}, {"input", "a"}}).status, 200);
  EXPECT_TRUE(foreman_.llama.heard().starts_with("POST /v1/embeddings "));
  EXPECT_EQ(post("/v1/chat/completions", chat("eyes")).status, 200);
}

TEST_F(OpenAi, PassesAStreamOn) {
  start();
  foreman_.llama.set(Mode::kStream);
  const auto response = post("/v1/chat/completions", chat("chat", true));
  EXPECT_EQ(response.header("Content-Type"), "text/event-stream");
  EXPECT_EQ(response.body, "data: {\"n\":1}\n\ndata: {\"n\":2}\n\ndata: [DONE]\n\n");
  EXPECT_EQ(foreman_.sessions, 0);
}

TEST_F(OpenAi, AWorkerThatDiesInAStreamEndsItWithAnErrorEvent) {
  start();
  foreman_.llama.set(Mode::kDieInStream);
  foreman_.worker.life = fail(Code::kWorkerFailed, "chat: killed by signal 9: last words");
  const auto response = post("/v1/chat/completions", chat("chat", true));
  constexpr std::string_view kFirst = "data: {\"n\":1}\n\ndata: ";
  ASSERT_TRUE(response.body.starts_with(kFirst)) << response.body;
  const json last = json::parse(response.body.substr(kFirst.size()));
  EXPECT_EQ(last["error"]["code"], "worker_failed");
  EXPECT_NE(last["error"]["message"].get<std::string>().find("last words"), std::string::npos);
}

TEST_F(OpenAi, AWorkerThatDiesBeforeItsAnswerIsAnErrorObject) {
  start();
  foreman_.llama.set(Mode::kGarbage);
  EXPECT_EQ(error_of(post("/v1/chat/completions", chat())), "502 server_error worker_failed");
  foreman_.worker.life = fail(Code::kWorkerFailed, "killed by signal 11");
  const auto response = post("/v1/chat/completions", chat());
  EXPECT_EQ(error_of(response), "502 server_error worker_failed");
  EXPECT_EQ(message_of(response), "killed by signal 11");
}

TEST_F(OpenAi, TranslatesTheWorkersErrors) {
  start();
  foreman_.llama.set(Mode::kError, "400 {\"error\":{\"code\":400,\"message\":\"too long\"}}");
  auto response = post("/v1/chat/completions", chat("chat", true));
  EXPECT_EQ(error_of(response), "400 invalid_request_error usage");
  EXPECT_EQ(message_of(response), "too long");
  foreman_.llama.set(Mode::kError, "500 not json");
  EXPECT_EQ(error_of(post("/v1/chat/completions", chat())), "502 server_error worker_failed");
}

TEST_F(OpenAi, AWorkerThatSaysNothingTimesOut) {
  options_.worker_idle_timeout = Millis{50};
  start();
  foreman_.llama.set(Mode::kStall);
  EXPECT_EQ(error_of(post("/v1/chat/completions", chat())), "504 server_error timeout");
}

TEST_F(OpenAi, AClientThatLeavesEndsTheGeneration) {
  start();
  for (Mode mode : {Mode::kStall, Mode::kStallInStream}) {
    foreman_.llama.set(mode);
    const int before = foreman_.llama.abandoned;
    const int requests = foreman_.llama.requests;
    const std::string body = chat("chat", true).dump();
    http::RawPeer peer(tcp());
    peer.send("POST /v1/chat/completions HTTP/1.1\r\nHost: " + tcp().text() +
              "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    wait_for([&] { return foreman_.llama.requests > requests; });
    if (mode == Mode::kStallInStream) peer.read_until_text("\"n\":1");
    EXPECT_EQ(foreman_.sessions, 1);
    peer.close();
    wait_for([&] { return foreman_.llama.abandoned > before; });
    wait_for([&] { return foreman_.sessions == 0; });
  }
}

TEST_F(OpenAi, AClientThatLeavesTheLineLeavesIt) {
  foreman_.hold_open = true;
  start();
  const std::string body = chat().dump();
  http::RawPeer peer(tcp());
  peer.send("POST /v1/chat/completions HTTP/1.1\r\nHost: " + tcp().text() + "\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n\r\n" + body);
  wait_for([&] { return foreman_.waiting == 1; });
  peer.close();
  wait_for([&] { return foreman_.waiting == 0; });
}

TEST_F(OpenAi, ModelsThatAreMissingUnknownOrOfAnotherKind) {
  start();
  json body = chat();
  body.erase("model");
  EXPECT_EQ(error_of(post("/v1/chat/completions", body)),
            "400 invalid_request_error usage model");
  for (const json& model : {json(7), json(""), json(nullptr), json::array()}) {
    body["model"] = model;
    EXPECT_EQ(error_of(post("/v1/chat/completions", body)),
              "400 invalid_request_error usage model");
  }
  auto response = post("/v1/chat/completions", chat("nobody"));
  EXPECT_EQ(error_of(response), "404 invalid_request_error model_not_found model");
  EXPECT_NE(message_of(response).find("chat, ears, eyes, vec"), std::string::npos);

  response = post("/v1/chat/completions", chat("ears"));
  EXPECT_EQ(error_of(response), "400 invalid_request_error usage model");
  EXPECT_NE(message_of(response).find("/v1/audio/transcriptions"), std::string::npos);
  response = post("/v1/chat/completions", chat("vec"));
  EXPECT_NE(message_of(response).find("/v1/embeddings"), std::string::npos);
  response = post("/v1/embeddings", json{{"model", "chat"}, {"input", "a"}});
  EXPECT_NE(message_of(response).find("/v1/chat/completions"), std::string::npos);
  EXPECT_EQ(foreman_.opened, 0) << "nothing was loaded to find that out";
}

TEST_F(OpenAi, AnAliasOfAnotherKindIsRefusedToo) {
  foreman_.aliases["other"] = "ears";
  start();
  EXPECT_EQ(error_of(post("/v1/chat/completions", chat("other"))),
            "400 invalid_request_error usage model");
  EXPECT_EQ(foreman_.llama.requests, 0);
}

TEST_F(OpenAi, PathsAreNamesForTheOwnerOnly) {
  start();
  for (const char* path : {"/etc/passwd", "../x", "x.gguf", "~/x", "C:\\x", "http://evil/x",
                           "a/../b"}) {
    EXPECT_EQ(error_of(post("/v1/chat/completions", chat(path))),
              "400 invalid_request_error usage model")
        << path;
  }
  EXPECT_EQ(foreman_.opened, 0);
  EXPECT_EQ(post_local("/v1/chat/completions", chat("/models/x.gguf")).status, 200);
  EXPECT_TRUE(foreman_.trusted);
}

TEST_F(OpenAi, BadBodies) {
  start();
  const std::string deep = "{\"model\":\"chat\",\"messages\":" + std::string(100, '[');
  for (const std::string& body : {std::string(), std::string("{"), std::string("[]"),
                                  std::string("\"text\""), std::string("\xff\xfe"), deep}) {
    EXPECT_EQ(error_of(post("/v1/chat/completions", body)), "400 invalid_request_error usage")
        << body;
  }
  EXPECT_EQ(error_of(post("/v1/chat/completions", json{{"model", "chat"}})),
            "400 invalid_request_error usage messages");
  EXPECT_EQ(error_of(post("/v1/completions", json{{"model", "chat"}})),
            "400 invalid_request_error usage prompt");
  EXPECT_EQ(error_of(post("/v1/embeddings", json{{"model", "vec"}})),
            "400 invalid_request_error usage input");
  EXPECT_EQ(foreman_.opened, 0);
}

TEST_F(OpenAi, OpenErrorsKeepTheirCodeAndRemedy) {
  foreman_.open_fault = Error{Code::kDoesNotFit, "needs 4 GiB of 2 GiB", "use -c 2048"};
  start();
  auto response = post("/v1/chat/completions", chat());
  EXPECT_EQ(error_of(response), "507 server_error does_not_fit");
  EXPECT_EQ(message_of(response), "needs 4 GiB of 2 GiB (use -c 2048)");
  foreman_.open_fault = Error{Code::kBusy, "the line is full", ""};
  response = post("/v1/chat/completions", chat());
  EXPECT_EQ(error_of(response), "503 server_error busy");
  EXPECT_EQ(response.header("Retry-After"), "5");
}

}  // namespace
}  // namespace gantry
