// The program itself, and programs in its place.
#include "worker/sound_encoding.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "worker/test_bench.h"

namespace gantry {
namespace {

class SoundEncodingTest : public testing::Test {
 protected:
  // A context whose gantry-encode is this script.
  WorkerContext scripted(const std::string& script) {
    const std::string program = folder_.write("gantry-encode", "#!/bin/sh\n" + script);
    EXPECT_EQ(::chmod(program.c_str(), 0700), 0);
    WorkerContext context = bench_context(folder_);
    context.worker_exe = folder_.file("gantry-worker");
    return context;
  }
  Result<std::unique_ptr<SoundEncoding>> start(const WorkerContext& context) {
    return SoundEncoding::start(*os_, context, SoundFormat::kMp3, 16'000);
  }

  TestFolder folder_;
  std::unique_ptr<Os> os_ = make_real_os();
  std::string wav_ = wav_bytes(std::vector<int16_t>(48'000, 700));
};

TEST_F(SoundEncodingTest, EachFormatComesInPieces) {
  for (const auto& [format, magic] :
       {std::pair{SoundFormat::kFlac, "fLaC"}, std::pair{SoundFormat::kOpus, "OggS"},
        std::pair{SoundFormat::kMp3, "\xFF\xF3"}}) {
    const auto encoding = SoundEncoding::start(*os_, bench_context(folder_), format, 16'000);
    ASSERT_TRUE(encoding) << encoding.error().message;
    const Result<std::string> first = (*encoding)->put(std::string_view(wav_).substr(44));
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_TRUE(first->starts_with(magic)) << first->substr(0, 4);
    const Result<std::string> rest = (*encoding)->finish();
    ASSERT_TRUE(rest);
    const auto whole = encode_wav(*os_, bench_context(folder_), format, wav_);
    ASSERT_TRUE(whole);
    EXPECT_EQ(whole->size(), first->size() + rest->size());
    EXPECT_FALSE((*encoding)->put("xx")) << "it has ended";
  }
}

TEST_F(SoundEncodingTest, WavsNeedNoProgram) {
  const WorkerContext nowhere{};
  EXPECT_EQ(*encode_wav(*os_, nowhere, SoundFormat::kWav, wav_), wav_);
  EXPECT_EQ(*encode_wav(*os_, nowhere, SoundFormat::kPcm, wav_), wav_.substr(44));
  EXPECT_EQ(encode_wav(*os_, nowhere, SoundFormat::kMp3, "RIFF").error().code, Code::kCorrupt);
  EXPECT_EQ(encode_wav(*os_, nowhere, SoundFormat::kMp3, wav_).error().code, Code::kUnavailable);
}

TEST_F(SoundEncodingTest, WhatTheProgramRefusesIsItsWords) {
  const auto no = start(scripted("printf '!no mp3 here\\task for wav\\n'; cat >/dev/null"));
  ASSERT_FALSE(no);
  EXPECT_EQ(no.error().code, Code::kUnsupported);
  EXPECT_EQ(no.error().message, "no mp3 here");
  EXPECT_EQ(no.error().remedy, "ask for wav");
}

TEST_F(SoundEncodingTest, AProgramThatDiesOrLiesEndsThatSoundAlone) {
  const auto dead = start(scripted("echo broken library >&2; kill -11 $$"));
  ASSERT_FALSE(dead);
  EXPECT_EQ(dead.error().code, Code::kWorkerFailed);
  EXPECT_NE(dead.error().message.find("broken library"), std::string::npos);
  const auto liar = start(scripted("echo '@@@'; cat >/dev/null"));
  ASSERT_FALSE(liar);
  EXPECT_EQ(liar.error().code, Code::kWorkerFailed);
  auto later = start(scripted("read a; echo; read b; exit 3"));
  ASSERT_TRUE(later) << later.error().message;
  const Result<std::string> lost = (*later)->put("abcd");
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::kWorkerFailed);
}

}  // namespace
}  // namespace gantry
