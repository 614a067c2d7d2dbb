// Pictures through the real ffmpeg, and what is none.
#include "worker/picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/base64.h"
#include "worker/test_bench.h"

namespace gantry {
namespace {

using testing::Contains;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

class PictureTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!exists("/usr/bin/ffmpeg")) GTEST_SKIP() << "ffmpeg is not installed";
  }
  // A picture of one colour, made by ffmpeg.
  std::string made(const std::string& name, const std::string& colour, const std::string& size) {
    const auto process = os_->spawn(
        {.argv = {"ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i",
                  "color=" + colour + ":s=" + size, "-frames:v", "1", folder_.file(name)}});
    EXPECT_TRUE(process && (*process)->wait(Millis(60'000))->ok());
    return folder_.file(name);
  }
  Result<void> decode(const std::string& file) {
    return decode_picture(*os_, bench_context(folder_), file, ppm_, cancel_);
  }
  Code refusal(const std::string& bytes) {
    const Result<void> got = decode(folder_.write("bad", bytes));
    EXPECT_FALSE(got);
    EXPECT_FALSE(exists(ppm_));
    EXPECT_FALSE(exists(ppm_ + ".log"));
    return got ? Code::kInternal : got.error().code;
  }

  TestFolder folder_;
  std::unique_ptr<Os> os_ = make_real_os();
  std::string ppm_ = folder_.file("out.ppm");
  http::Cancel cancel_{false};
};

TEST_F(PictureTest, BothKindsBecomePixels) {
  for (const char* name : {"a.png", "a.jpg"}) {
    SCOPED_TRACE(name);
    const Result<void> done = decode(made(name, "0xC80A28", "32x18"));
    ASSERT_TRUE(done) << done.error().message;
    const std::string file = slurp(ppm_);
    const Result<PixelView> pixels = parse_ppm(bytes_of(file));
    ASSERT_TRUE(pixels) << pixels.error().message;
    EXPECT_EQ(pixels->width, 32U);
    EXPECT_EQ(pixels->height, 18U);
    for (size_t i = 0; i < pixels->rgb.size(); i += 3) {
      ASSERT_NEAR(std::to_integer<int>(pixels->rgb[i]), 0xC8, 3);
      ASSERT_NEAR(std::to_integer<int>(pixels->rgb[i + 1]), 0x0A, 3);
      ASSERT_NEAR(std::to_integer<int>(pixels->rgb[i + 2]), 0x28, 3);
    }
  }
  std::string panel = slurp(test_data("panel.png.base64"));
  std::erase(panel, '\n');
  const auto bytes = base64_bytes(panel);
  ASSERT_TRUE(bytes);
  EXPECT_TRUE(decode(folder_.write("p", *bytes)));
}

TEST_F(PictureTest, WhatIsNoneIsAnError) {
  const std::string png = slurp(made("b.png", "red", "64x64"));
  EXPECT_EQ(refusal(""), Code::kUnsupported);
  EXPECT_EQ(refusal("GIF89a......"), Code::kUnsupported);
  EXPECT_EQ(refusal("ffconcat version 1.0\nfile /etc/passwd\n"), Code::kUnsupported);
  EXPECT_EQ(refusal(png.substr(0, 30)), Code::kCorrupt);
  EXPECT_EQ(refusal("\xff\xd8\xff" + std::string(500, '\x7f')), Code::kCorrupt);
  // A head that promises too much: 65,535 by 65,535.
  std::string bomb = png;
  for (const size_t at : {18U, 19U, 22U, 23U}) bomb[at] = '\xff';
  const Code code = refusal(bomb);
  EXPECT_TRUE(code == Code::kTooLarge || code == Code::kCorrupt) << code_name(code);
  EXPECT_EQ(decode(folder_.file("none")).error().code, Code::kNotFound);
}

TEST_F(PictureTest, ACallerThatLeftIsNotWaitedFor) {
  cancel_ = true;
  const Result<void> left = decode(made("c.png", "red", "2000x2000"));
  if (!left) {  // it may have been quick
    EXPECT_EQ(left.error().code, Code::kCancelled);
  }
}

TEST(PictureArgs, OneFormatOneProtocol) {
  const std::vector<std::string> argv = picture_argv("png", "/a:b", "/o");
  EXPECT_THAT(argv, Contains("file:/a:b"));
  EXPECT_THAT(argv, Contains("png_pipe"));
  EXPECT_THAT(argv, Contains("40000000"));
  EXPECT_EQ(picture_kind("\x89PNG\r\n\x1a\n"), "png");
  EXPECT_EQ(picture_kind("\xff\xd8\xff\xe0"), "jpeg");
  EXPECT_EQ(picture_kind("RIFF"), "");
}

TEST(Ppm, HeadsAreDoubted) {
  const auto code = [](const std::string& file) {
    const Result<PixelView> got = parse_ppm(bytes_of(file));
    return got ? Code::kInternal : got.error().code;
  };
  EXPECT_EQ(code("P6\n1 1\n255\nabc"), Code::kInternal) << "it is good";
  for (const char* bad : {"", "P6\n", "P5\n1 1\n255\nabc", "P6\n1 1\n255\nab", "P6\n1 1\n255\nabcd",
                          "P6\n0 1\n255\n", "P6\n1 1\n65535\nabc", "P6\n1 x\n255\nabc",
                          "P6\n9999999999 1\n255\nabc", "P6\n-1 1\n255\nabc"}) {
    EXPECT_EQ(code(bad), Code::kCorrupt) << bad;
  }
  EXPECT_EQ(code("P6\n20001 1\n255\n" + std::string(60'003, 'x')), Code::kTooLarge);
}

}  // namespace
}  // namespace gantry
