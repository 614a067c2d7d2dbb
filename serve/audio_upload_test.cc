// Forms that are right, and what is said of the others.
#include "serve/audio_upload.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

http::Request form(const Fields& fields) {
  http::Request request{.method = "POST", .target = "/v1/audio/transcriptions"};
  request.headers = {{"Content-Type", "multipart/form-data; boundary=XX"}};
  for (const auto& [name, value] : fields) {
    request.body += "--XX\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" +
                    value + "\r\n";
  }
  request.body += "--XX--\r\n";
  return request;
}

std::string refused(const Fields& fields, bool needs_model) {
  AudioUpload upload;
  const auto error = read_audio_upload(form(fields), needs_model, &upload);
  return error ? std::to_string(error->status) + " " + error->param : "";
}

TEST(AudioUploads, WhatAFormSays) {
  const http::Request request =
      form({{"file", "RIFF"}, {"model", "ear"}, {"language", "en"},
            {"response_format", "verbose_json"}, {"timestamp_granularities[]", "word"}});
  AudioUpload upload;
  ASSERT_FALSE(read_audio_upload(request, true, &upload));
  EXPECT_EQ(upload.file, "RIFF");
  EXPECT_EQ(upload.model, "ear");
  const Heard heard = heard_as(upload);
  EXPECT_EQ(heard.language, "en");
  EXPECT_TRUE(heard.words);
  EXPECT_TRUE(heard.only_words);
}

TEST(AudioUploads, AModelMayBeLeftOutWhereOneIsTaken) {
  EXPECT_EQ(refused({{"file", "x"}}, true), "400 model");
  EXPECT_EQ(refused({{"file", "x"}}, false), "");
}

TEST(AudioUploads, ARecordingMayBeTheBody) {
  AudioUpload upload;
  http::Request request{.method = "POST",
                        .target = "/transcribe?model=ear%201&response_format=srt&language=de",
                        .body = "RIFF"};
  ASSERT_FALSE(read_audio_body(request, &upload));
  EXPECT_EQ(upload.file, "RIFF");
  EXPECT_EQ(upload.model, "ear 1");
  EXPECT_EQ(upload.format, "srt");
  EXPECT_EQ(upload.language, "de");
  request.target = "/transcribe?response_format=pdf";
  EXPECT_EQ(read_audio_body(request, &upload)->param, "response_format");
  request = {.method = "POST", .target = "/transcribe"};
  upload = {};
  EXPECT_EQ(read_audio_body(request, &upload)->param, "file");
}

TEST(AudioUploads, WhatIsWrongIsNamed) {
  EXPECT_EQ(refused({{"model", "ear"}}, false), "400 file");
  EXPECT_EQ(refused({{"file", ""}}, false), "400 file");
  EXPECT_EQ(refused({{"file", "x"}, {"response_format", "pdf"}}, false), "400 response_format");
  EXPECT_EQ(refused({{"file", "x"}, {"language", std::string(32, 'e')}}, false), "");
  EXPECT_EQ(refused({{"file", "x"}, {"language", std::string(33, 'e')}}, false), "400 language");
  EXPECT_EQ(refused({{"file", "x"}, {"temperature", "1.1"}}, false), "400 temperature");
  EXPECT_EQ(refused({{"file", "x"}, {"stream", "true"}}, false), "400 stream");
  AudioUpload upload;
  http::Request none = form({});
  none.headers.clear();
  ASSERT_TRUE(read_audio_upload(none, false, &upload));
  EXPECT_EQ(read_audio_upload(none, false, &upload)->status, 400);
}

}  // namespace
}  // namespace gantry
