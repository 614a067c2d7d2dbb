// Decoding: any recording to the one wav, and a named reason where there is none.
#include "worker/media.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>

#include "worker/test_bench.h"

namespace gantry {
namespace {

bool have_ffmpeg() { return exists("/usr/bin/ffmpeg"); }

std::vector<int16_t> tone(size_t samples) {
  std::vector<int16_t> out(samples);
  for (size_t i = 0; i < samples; ++i) {
    out[i] = static_cast<int16_t>(8000 * std::sin(static_cast<double>(i) * 0.17));
  }
  return out;
}

class Media : public testing::Test {
 protected:
  void SetUp() override {
    if (!have_ffmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  }
  Result<Millis> decode(const std::string& file, MediaTool tool = MediaTool::kFfmpeg) {
    return decode_audio(*os_, bench_context(folder_), tool, file, wav_, cancel_, nullptr);
  }
  // A failure with this code, nothing left behind, a remedy named.
  void refuses(const std::string& file, Code code, MediaTool tool = MediaTool::kFfmpeg) {
    std::filesystem::remove(wav_);
    const Result<Millis> got = decode(file, tool);
    ASSERT_FALSE(got) << file;
    EXPECT_EQ(got.error().code, code) << got.error().message;
    EXPECT_NE(got.error().message.find(file), std::string::npos) << got.error().message;
    EXPECT_FALSE(got.error().remedy.empty()) << got.error().message;
    for (const char* ending : {"", ".part", ".part.log"}) EXPECT_FALSE(exists(wav_ + ending));
  }
  std::string converted(const std::string& name) {
    const std::string source = folder_.write("tone.wav", wav_bytes(tone(32'000)));
    const auto process = os_->spawn({.argv = {"ffmpeg", "-nostdin", "-v", "error", "-i",
                                              "file:" + source, "file:" + folder_.file(name)}});
    EXPECT_TRUE(process && (*process)->wait(Millis(60'000))->ok());
    return folder_.file(name);
  }

  TestFolder folder_;
  std::string wav_ = folder_.file("out.wav");
  std::unique_ptr<Os> os_ = make_real_os();
  http::Cancel cancel_{false};
};

TEST_F(Media, ExactLengthWhateverTheName) {
  const std::string sound = wav_bytes(tone(12'345));
  for (const MediaTool tool : {MediaTool::kSmall, MediaTool::kFfmpeg}) {
    for (const char* name : {"plain.wav", "-n.wav", "a:b%d.wav", "with blank.wav", "ü.wav"}) {
      const Result<Millis> got = decode(folder_.write(name, sound), tool);
      ASSERT_TRUE(got) << got.error().message;
      EXPECT_EQ(*got, Millis(771));
      EXPECT_EQ(slurp(wav_), sound);
      EXPECT_FALSE(exists(wav_ + ".part.log"));
    }
  }
}

TEST_F(Media, OtherContainers) {
  for (const char* name : {"a.flac", "a.mp3", "a.ogg", "a.opus", "a.aiff", "a.m4a", "a.mkv"}) {
    const std::string file = converted(name);
    const bool known = !file.ends_with(".m4a") && !file.ends_with(".mkv");
    const Result<Millis> small = decode(file, MediaTool::kSmall);
    EXPECT_EQ(small.has_value(), known) << name;
    if (!small) refuses(file, Code::kUnsupported, MediaTool::kSmall);
    const Result<Millis> got = decode(file);
    ASSERT_TRUE(got) << name << ": " << got.error().message;
    EXPECT_NEAR(static_cast<double>(got->count()), 2000, 100) << name;
    EXPECT_NEAR(static_cast<double>(small.value_or(*got).count()), 2000, 100) << name;
  }
}

TEST_F(Media, TheSmallDecoderNamesItsReasons) {
  const auto refused = [&](const std::string& file, Code code) {
    refuses(file, code, MediaTool::kSmall);
  };
  refused(folder_.file("missing.wav"), Code::kNotFound);
  refused(folder_.path(), Code::kUsage);
  refused(folder_.write("empty.wav", ""), Code::kCorrupt);
  refused(folder_.write("none.wav", wav_bytes({})), Code::kCorrupt);
  refused(folder_.write("text.wav", "hello world, this is no sound"), Code::kUnsupported);
  const std::string pipe = folder_.file("pipe.wav");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const Result<Millis> got = decode(pipe, MediaTool::kSmall);
  ASSERT_FALSE(got);  // and did not wait for somebody to write
}

TEST_F(Media, WhatIsNoRecordingIsRefusedByName) {
  refuses(folder_.file("missing.wav"), Code::kNotFound);
  refuses(folder_.path(), Code::kUsage);
  refuses(folder_.write("empty.wav", ""), Code::kCorrupt);
  refuses(folder_.write("text.wav", "hello world, this is no sound"), Code::kCorrupt);
  refuses(folder_.write("zeros.mp3", std::string(9000, '\0')), Code::kCorrupt);
  const std::string m4a = slurp(converted("a.m4a"));
  refuses(folder_.write("cut.m4a", m4a.substr(0, m4a.size() / 2)), Code::kCorrupt);
}

TEST_F(Media, APictureTrackAloneIsNoSound) {
  const auto process = os_->spawn({.argv = {"ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi",
                                            "-i", "color=c=red:s=16x16:d=1",
                                            folder_.file("v.avi")}});
  ASSERT_TRUE(process && (*process)->wait(Millis(60'000))->ok());
  refuses(folder_.file("v.avi"), Code::kCorrupt);
}

TEST_F(Media, ListsOfOtherFilesAreNotFollowed) {
  const std::string inner = folder_.write("inner.wav", wav_bytes(tone(1000)));
  const std::string head = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n";
  const std::string end = "\n#EXT-X-ENDLIST\n";
  for (const std::string& text :
       {head + "file:///etc/passwd" + end, head + "http://127.0.0.1:9/a.ts" + end,
        head + "inner.wav" + end, std::string("ffconcat version 1.0\nfile 'inner.wav'\n"),
        "ffconcat version 1.0\nfile '" + inner + "'\n",
        std::string("v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n")}) {
    for (const char* name : {"list.m3u8", "list.wav", "list.ffconcat", "list.sdp"}) {
      refuses(folder_.write(name, text), Code::kUnsupported, MediaTool::kSmall);
      const Result<Millis> got = decode(folder_.write(name, text));
      ASSERT_FALSE(got) << text;
      EXPECT_FALSE(exists(wav_));
    }
  }
}

TEST_F(Media, CancelKillsIt) {
  const std::string big = folder_.write("big.wav", wav_bytes(tone(1'000'000)));
  for (const MediaTool tool : {MediaTool::kSmall, MediaTool::kFfmpeg}) {
    int pid = 0;
    cancel_ = false;
    const Result<Millis> got =
        decode_audio(*os_, bench_context(folder_), tool, big, wav_, cancel_,
                     [&](int started) -> Result<void> {
                       pid = started;
                       cancel_ = true;
                       return {};
                     });
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::kCancelled);
    EXPECT_NE(::kill(pid, 0), 0);
    EXPECT_FALSE(exists(wav_));
    EXPECT_FALSE(exists(wav_ + ".part"));
  }
}

TEST_F(Media, AFolderThatIsNotThereIsNamed) {
  wav_ = folder_.file("no/such/out.wav");
  const Result<Millis> got = decode(folder_.write("a.wav", wav_bytes(tone(100))));
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message.find("out.wav"), std::string::npos);
}

TEST(MediaArgv, OneInputNothingElseIsOpened) {
  const std::vector<std::string> argv = ffmpeg_argv("-i", "out.wav");
  const auto at = std::ranges::find(argv, "-i");
  ASSERT_NE(at, argv.end());
  EXPECT_EQ(*(at + 1), "file:-i");
  EXPECT_NE(std::ranges::find(argv, "-nostdin"), argv.end());
  const auto formats = std::ranges::find(argv, "-format_whitelist");
  ASSERT_LT(formats, at);  // an option of the input
  const std::string list = "," + *(formats + 1) + ",";
  for (const char* opens : {"hls", "concat", "dash", "image2", "lavfi", "sdp", "rtsp", "imf"}) {
    EXPECT_EQ(list.find("," + std::string(opens) + ","), std::string::npos) << opens;
  }
}

TEST(MediaErrors, CausesAreToldApart) {
  const auto code = [](const std::string& output) {
    return explain_ffmpeg("f", output, "exit status 1").code;
  };
  EXPECT_EQ(code("av_interleaved_write_frame(): No space left on device"), Code::kDiskFull);
  EXPECT_EQ(code("file:f: Permission denied"), Code::kPermission);
  EXPECT_EQ(code("Stream map '0:a:0' matches no streams."), Code::kCorrupt);
  EXPECT_EQ(code("[hls] Format not on whitelist 'aac'"), Code::kUnsupported);
  EXPECT_EQ(code("Invalid data found when processing input"), Code::kCorrupt);
  EXPECT_EQ(code("something new"), Code::kWorkerFailed);
  EXPECT_NE(explain_ffmpeg("f", "", "killed by signal 9").message.find("signal 9"),
            std::string::npos);
}

TEST(MediaErrors, TheSmallDecodersExitIsRead) {
  Error error = explain_small("f", "is not it | use ffmpeg", Exit{10, 0});
  EXPECT_EQ(error.code, Code::kUnsupported);
  EXPECT_EQ(error.message, "f is not it");
  EXPECT_EQ(error.remedy, "use ffmpeg");
  error = explain_small("f", "noise | no space left | free some", Exit{13, 0});
  EXPECT_EQ(error.code, Code::kDiskFull);
  EXPECT_EQ(error.remedy, "free some");
  EXPECT_EQ(explain_small("f", "", Exit{12, 0}).code, Code::kTooLarge);
  error = explain_small("f", "", Exit{0, 11});
  EXPECT_EQ(error.code, Code::kWorkerFailed);
  EXPECT_NE(error.message.find("signal 11"), std::string::npos);
  EXPECT_EQ(explain_small("f", "terminate called", Exit{1, 0}).code, Code::kWorkerFailed);
}

TEST(MediaMissing, TheSmallDecoderIsNamedWithItsPlace) {
  const TestFolder folder;
  const std::unique_ptr<Os> os = make_real_os();
  const http::Cancel cancel{false};
  WorkerContext context = bench_context(folder);
  context.worker_exe = folder.file("gantry-worker");
  const auto got = decode_audio(*os, context, MediaTool::kSmall, folder.write("a.wav", "x"),
                                folder.file("o.wav"), cancel, nullptr);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kUnavailable);
  EXPECT_NE(got.error().message.find(folder.file("gantry-decode")), std::string::npos);
}

TEST(MediaMissing, FfmpegIsNamedWithItsPackage) {
  const TestFolder folder;
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", folder.path().c_str(), 1);
  const std::unique_ptr<Os> os = make_real_os();
  const http::Cancel cancel{false};
  const auto got = decode_audio(*os, bench_context(folder), MediaTool::kFfmpeg,
                                folder.write("a.wav", "x"), folder.file("o.wav"), cancel, nullptr);
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kUnavailable);
  EXPECT_NE(got.error().remedy.find("apt-get install ffmpeg"), std::string::npos);
}

}  // namespace
}  // namespace gantry
