// Tests of uploads to /v1/audio/transcriptions through the server.
#include "serve/test_server.h"

namespace gantry {
namespace {

class Audio : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    foreman_.worker.transcript = std::vector<Segment>{{Millis{0}, Millis{900}, "hello", 1.0}};
  }
  using Fields = std::vector<std::pair<std::string, std::string>>;
  http::Response upload(const Fields& fields) {
    std::string body;
    for (const auto& [name, value] : fields) {
      body += "--XX\r\nContent-Disposition: form-data; name=\"" + name + "\"" +
              (name == "file" ? "; filename=\"../../etc/a.wav\"" : "") + "\r\n\r\n" + value +
              "\r\n";
    }
    body += "--XX--\r\n";
    const http::Headers headers = {{"Content-Type", "multipart/form-data; boundary=XX"}};
    return ask(tcp(), {"POST", "/v1/audio/transcriptions", headers, body});
  }
  bool spool_empty() { return os_->list(options_.spool_dir)->empty(); }
};

TEST_F(Audio, DecodesHearsAndCleansUp) {
  start();
  const auto response = upload({{"file", "RIFFbytes"}, {"model", "ears"}});
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(json::parse(response.body)["text"], "hello");
  EXPECT_EQ(response.header("X-Gantry-Answered-By"), "cpu; model=ears");
  EXPECT_EQ(foreman_.tokens, 1U) << "so many seconds were heard";
  EXPECT_EQ(foreman_.decoded_bytes, "RIFFbytes");
  EXPECT_TRUE(spool_empty());
  EXPECT_EQ(foreman_.sessions, 0);
}

TEST_F(Audio, EveryFormat) {
  start();
  const auto as = [&](const std::string& format) {
    return upload({{"file", "x"}, {"model", "ears"}, {"response_format", format},
                   {"language", "en"}, {"temperature", "0.2"},
                   {"timestamp_granularities[]", "segment"}, {"prompt", "ignored"}})
        .body;
  };
  EXPECT_EQ(as("text"), "hello\n");
  EXPECT_NE(as("srt").find("-->"), std::string::npos);
  EXPECT_TRUE(as("vtt").starts_with("WEBVTT"));
  const json timed = json::parse(
      upload({{"file", "x"}, {"model", "ears"}, {"response_format", "verbose_json"},
              {"timestamp_granularities[]", "word"}}).body);
  EXPECT_TRUE(timed["words"].is_array());
  EXPECT_FALSE(timed.contains("segments"));
  const json verbose = json::parse(as("verbose_json"));
  EXPECT_EQ(verbose["segments"][0]["text"], "hello");
  EXPECT_EQ(verbose["duration"], 1.0);
  EXPECT_EQ(verbose["language"], "en");
}

TEST_F(Audio, BadForms) {
  start();
  const auto error = [&](const Fields& fields) { return error_of(upload(fields)); };
  EXPECT_EQ(error({{"model", "ears"}}), "400 invalid_request_error usage file");
  EXPECT_EQ(error({{"file", ""}, {"model", "ears"}}), "400 invalid_request_error usage file");
  EXPECT_EQ(error({{"file", "x"}}), "400 invalid_request_error usage model");
  const Fields good = {{"file", "x"}, {"model", "ears"}};
  const auto with = [&](const std::string& name, const std::string& value) {
    Fields fields = good;
    fields.emplace_back(name, value);
    return error(fields);
  };
  EXPECT_EQ(with("response_format", "pdf"), "400 invalid_request_error usage response_format");
  EXPECT_EQ(with("temperature", "hot"), "400 invalid_request_error usage temperature");
  EXPECT_EQ(with("temperature", "2"), "400 invalid_request_error usage temperature");
  EXPECT_EQ(with("temperature", "nan"), "400 invalid_request_error usage temperature");
  EXPECT_EQ(with("stream", "true"), "400 invalid_request_error usage stream");
  for (const char* which : {"word", "letter"}) {  // words are in verbose_json alone
    EXPECT_EQ(with("timestamp_granularities[]", which),
              "400 invalid_request_error usage timestamp_granularities[]");
  }
  EXPECT_EQ(with("language", std::string(33, 'e')), "400 invalid_request_error usage language");
  EXPECT_EQ(error_of(post("/v1/audio/transcriptions", std::string("{}"))),
            "400 invalid_request_error usage");
  const http::Headers headers = {{"Content-Type", "multipart/form-data; boundary=XX"}};
  EXPECT_EQ(error_of(ask(tcp(), {"POST", "/v1/audio/transcriptions", headers, "--XX\r\ncut"})),
            "400 invalid_request_error corrupt");
  EXPECT_EQ(foreman_.decoded_bytes, "") << "nothing was decoded";
}

TEST_F(Audio, TheWrongModelIsToldBeforeDecoding) {
  start();
  const auto response = upload({{"file", "x"}, {"model", "chat"}});
  EXPECT_EQ(error_of(response), "400 invalid_request_error usage model");
  EXPECT_NE(message_of(response).find("/v1/chat/completions"), std::string::npos);
  EXPECT_EQ(error_of(upload({{"file", "x"}, {"model", "/m.bin"}})),
            "400 invalid_request_error usage model");
  EXPECT_EQ(foreman_.decoded_bytes, "");
  EXPECT_EQ(error_of(upload({{"file", "x"}, {"model", "nobody"}})),
            "404 invalid_request_error model_not_found model");
  EXPECT_TRUE(spool_empty());
}

TEST_F(Audio, NothingIsLeftWhereAStepFails) {
  start();
  foreman_.decode_fault = Error{Code::kCorrupt, "no audio in it", ""};
  EXPECT_EQ(error_of(upload({{"file", "x"}, {"model", "ears"}})),
            "400 invalid_request_error corrupt file");
  EXPECT_TRUE(spool_empty());
  foreman_.decode_fault.reset();
  foreman_.open_fault = Error{Code::kDoesNotFit, "too big", ""};
  EXPECT_EQ(error_of(upload({{"file", "x"}, {"model", "ears"}})), "507 server_error does_not_fit");
  EXPECT_TRUE(spool_empty());
  foreman_.open_fault.reset();
  foreman_.worker.transcript = fail(Code::kWorkerFailed, "died");
  EXPECT_EQ(error_of(upload({{"file", "x"}, {"model", "ears"}})), "502 server_error worker_failed");
  EXPECT_TRUE(spool_empty());
  EXPECT_EQ(foreman_.sessions, 0);
}

TEST_F(Audio, AFullOrMissingSpoolIsAnError) {
  start();
  ASSERT_TRUE(os_->remove(options_.spool_dir));
  const auto response = upload({{"file", "x"}, {"model", "ears"}});
  EXPECT_GE(response.status, 400);
  EXPECT_NE(error_of(response).find("error"), std::string::npos);
}

}  // namespace
}  // namespace gantry
