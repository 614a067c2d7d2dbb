// Files of a request are gone with it.
#include "serve/spool.h"

#include <gtest/gtest.h>

#include "serve/fake_client.h"

namespace gantry {
namespace {

TEST(Spool, EndsWithoutFilesAndTellsWhatIsNoRecording) {
  const std::unique_ptr<Os> os = make_real_os();
  http::TestDir dir;
  const std::string folder = dir.file("spool");
  ASSERT_TRUE(os->make_dirs(folder, 0700));
  const RealClock clock;
  FakeClient foreman;
  const http::Cancel never{false};
  const Decode decode = [&foreman](const std::string& file, const std::string& wav,
                                   const http::Cancel& gone) -> Result<void> {
    const Result<StepReport> report = foreman.decode(file, wav, gone);
    if (!report) return fail(report.error());
    return {};
  };
  {
    const Spool spool(*os, folder, clock);
    foreman.decode_fault = Error{Code::kCorrupt, "no sound in it"};
    const auto error = spool.decode(decode, "bytes", never);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->status, 400);
    EXPECT_EQ(error->param, "file");
    EXPECT_EQ(foreman.decoded_bytes, "bytes");
    const Decode names = [](const std::string& file, const std::string&,
                            const http::Cancel&) -> Result<void> {
      return fail(Code::kCorrupt, file + " is damaged: file:" + file);
    };
    EXPECT_TRUE(spool.decode(names, "bytes", never)->message.starts_with(
        "the recording is damaged: file:the recording"));
    foreman.decode_fault.reset();
    EXPECT_FALSE(spool.decode(decode, "others", never));
    EXPECT_EQ(os->list(folder)->size(), 1U);  // the wav
    EXPECT_TRUE(os->stat(spool.wav()));
  }
  EXPECT_TRUE(os->list(folder)->empty());
}

}  // namespace
}  // namespace gantry
