// Tests of /v1/audio/speech and /v1/audio/diarization through the server.
#include "pipe/pcm.h"
#include "serve/test_server.h"
#include "worker/worker.h"

namespace gantry {
namespace {

class Voice : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    for (const auto& [name, kind] : {std::pair{"amy", "voice"}, std::pair{"espeak", "voice"},
                                     std::pair{"who", "diarization"}}) {
      ModelStatus model;
      model.name = name;
      model.kind = kind;
      foreman_.table.push_back(model);
    }
    foreman_.worker.turns = {{Millis(0), Millis(900), 0}, {Millis(1'000), Millis(2'000), 1}};
  }
  // A gantry-encode that is this script.
  void encode_by(const std::string& script) {
    const std::string program = dir_ + "/gantry-encode";
    ASSERT_TRUE(os_->write_file(program, "#!/bin/sh\n" + script + "\n", 0700));
    options_.encode = [this](SoundFormat format, uint32_t rate) {
      return SoundEncoding::start(*os_, {.worker_exe = dir_ + "/gantry-worker"}, format, rate);
    };
  }
  http::Response diarize(const std::vector<std::pair<std::string, std::string>>& fields) {
    std::string body;
    for (const auto& [name, value] : fields) {
      body += "--XX\r\nContent-Disposition: form-data; name=\"" + name + "\"" +
              (name == "file" ? "; filename=\"my talk.wav\"" : "") + "\r\n\r\n" + value + "\r\n";
    }
    const http::Headers headers = {{"Content-Type", "multipart/form-data; boundary=XX"}};
    return ask(tcp(), {"POST", "/v1/audio/diarization", headers, body + "--XX--\r\n"});
  }
};

TEST_F(Voice, SpeaksSentenceBySentence) {
  start();
  const auto wav = post("/v1/audio/speech",
                        json{{"model", "amy"}, {"input", "One. Two."}, {"voice", "v"},
                             {"response_format", "wav"}});
  EXPECT_EQ(wav.status, 200) << wav.body;
  EXPECT_EQ(wav.header("Content-Type"), "audio/wav");
  EXPECT_EQ(wav.body, wav_head(8'000, kPcmUnknown) + std::string(16, 's'));
  EXPECT_EQ(foreman_.worker.said, (std::vector<std::string>{"v: One.", "v: Two."}));
  const auto pcm = post("/v1/audio/speech", json{{"input", "One."}, {"response_format", "pcm"}});
  EXPECT_EQ(pcm.body, std::string(8, 's'));
  EXPECT_EQ(pcm.header("X-Sample-Rate"), "8000");
  EXPECT_EQ(foreman_.sessions, 0);
}

TEST_F(Voice, EncodesAsItSpeaks) {
  encode_by(R"(while read -r line; do
    if [ "$line" = . ]; then echo RU5E; exit; fi
    if [ -n "$line" ]; then echo TVAz; else echo; fi
  done)");
  start();
  for (const auto& [format, type] : {std::pair{"mp3", "audio/mpeg"}, {"flac", "audio/flac"},
                                     {"opus", "audio/ogg; codecs=opus"}}) {
    const auto sound = post("/v1/audio/speech",
                            json{{"input", "One. Two."}, {"response_format", format}});
    EXPECT_EQ(sound.status, 200) << sound.body;
    EXPECT_EQ(sound.header("Content-Type"), type);
    EXPECT_EQ(sound.body, "MP3MP3END");
  }
  // OpenAI's default.
  EXPECT_EQ(post("/v1/audio/speech", json{{"input", "One."}}).header("Content-Type"),
            "audio/mpeg");
  EXPECT_EQ(foreman_.sessions, 0);
}

TEST_F(Voice, AnEncoderThatFailsIsAnErrorOrAnEnd) {
  encode_by("printf '!no mp3 here\\task for wav\\n'");
  start();
  const auto refused = post("/v1/audio/speech", json{{"input", "One."}, {"model", "amy"}});
  EXPECT_GE(refused.status, 400);
  EXPECT_NE(message_of(refused).find("no mp3 here"), std::string::npos);
  encode_by("read -r a; echo; read -r b; exit 3");
  const auto died = post("/v1/audio/speech", json{{"input", "One."}, {"model", "amy"}});
  EXPECT_EQ(died.status, 502) << died.body;
  encode_by("read -r a; echo; read -r b; echo TVAz; read -r c; exit 3");
  const auto cut = post("/v1/audio/speech", json{{"input", "One. Two."}, {"model", "amy"}});
  EXPECT_EQ(cut.status, 200);
  EXPECT_EQ(cut.body, "MP3");
  EXPECT_EQ(foreman_.sessions, 0);
}

TEST_F(Voice, WrongSpeechRequests) {
  start();
  const auto error = [&](const json& body) { return error_of(post("/v1/audio/speech", body)); };
  EXPECT_EQ(error({{"input", ""}}), "400 invalid_request_error usage input");
  EXPECT_EQ(error({{"input", 3}}), "400 invalid_request_error usage input");
  EXPECT_EQ(error({{"input", std::string(20'001, 'x')}}),
            "400 invalid_request_error too_large input");
  EXPECT_EQ(error({{"input", "x"}, {"speed", 4.1}}), "400 invalid_request_error usage speed");
  for (const char* format : {"midi", "aac", ""}) {
    EXPECT_EQ(error({{"input", "x"}, {"response_format", format}}),
              "400 invalid_request_error usage response_format");
  }
  const auto aac = post("/v1/audio/speech", json{{"input", "x"}, {"response_format", "aac"}});
  EXPECT_NE(message_of(aac).find("mp3, flac, opus, wav or pcm"), std::string::npos);
  EXPECT_EQ(error({{"input", "x"}, {"model", "chat"}}), "400 invalid_request_error usage model");
  EXPECT_EQ(post("/v1/audio/speech", json{{"input", "x"}, {"model", "nobody"}}).status, 404);
  EXPECT_TRUE(foreman_.worker.said.empty());
  foreman_.worker.refuses = Error{Code::kNotFound, "there is no voice q", "there are a, b"};
  const auto none = post("/v1/audio/speech", json{{"input", "x"}, {"model", "amy"},
                                                  {"response_format", "wav"}});
  EXPECT_EQ(none.status, 404);
  EXPECT_NE(message_of(none).find("there are a, b"), std::string::npos);
}

TEST_F(Voice, TellsWhoSpokeWhen) {
  start();
  const json page = json::parse(diarize({{"file", "RIFF"}, {"num_speakers", "2"}}).body);
  EXPECT_EQ(page["num_speakers"], 2);
  EXPECT_EQ(page["turns"][1]["start"], 1.0);
  EXPECT_EQ(foreman_.worker.asked.speakers, 2U);
  const auto lines = diarize({{"file", "RIFF"}, {"threshold", "0.7"}, {"model", "who"},
                              {"response_format", "rttm"}});
  EXPECT_TRUE(lines.body.starts_with("SPEAKER my_talk.wav 1 0.000 0.900")) << lines.body;
  EXPECT_EQ(foreman_.worker.asked.threshold, 0.7);
  EXPECT_TRUE(os_->list(options_.spool_dir)->empty());
}

TEST_F(Voice, WrongForms) {
  start();
  const auto error = [&](const std::vector<std::pair<std::string, std::string>>& fields) {
    return error_of(diarize(fields));
  };
  EXPECT_EQ(error({{"model", "who"}}), "400 invalid_request_error usage file");
  for (const char* bad : {"0", "65", "2.5", "two", ""}) {
    EXPECT_EQ(error({{"file", "x"}, {"num_speakers", bad}}),
              "400 invalid_request_error usage num_speakers") << bad;
  }
  EXPECT_EQ(error({{"file", "x"}, {"threshold", "2.1"}}),
            "400 invalid_request_error usage threshold");
  EXPECT_EQ(error({{"file", "x"}, {"response_format", "xml"}}),
            "400 invalid_request_error usage response_format");
  EXPECT_EQ(error({{"file", "x"}, {"model", "amy"}}), "400 invalid_request_error usage model");
}

}  // namespace
}  // namespace gantry
