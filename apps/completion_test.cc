// Completion knows every subcommand and flag of the parser.
#include <gtest/gtest.h>

#include <sstream>

#include "apps/context.h"
#include "base/fake_os.h"

namespace gantry {
namespace {

std::string script(const std::string& shell, int* status) {
  FakeOs os;
  const Interrupt interrupt;
  CliContext context{os, interrupt};
  CLI::App app("test", "gantry");
  add_model_commands(app, context);
  add_completion(app, context);
  std::vector<std::string> args = {shell, "completion"};  // CLI11 takes them reversed
  app.parse(args);
  ::testing::internal::CaptureStdout();
  *status = context.work();
  return ::testing::internal::GetCapturedStdout();
}

TEST(Completion, BashListsCommandsAndFlags) {
  int status = -1;
  const std::string text = script("bash", &status);
  EXPECT_EQ(status, 0);
  EXPECT_NE(text.find("transcribe) words=\""), std::string::npos);
  EXPECT_NE(text.find("--format"), std::string::npos);
  EXPECT_NE(text.find("complete -o filenames -F _gantry gantry"), std::string::npos);
}

TEST(Completion, OtherShells) {
  int status = -1;
  EXPECT_NE(script("zsh", &status).find("bashcompinit"), std::string::npos);
  EXPECT_NE(script("fish", &status).find("-a minutes"), std::string::npos);
  script("tcsh", &status);
  EXPECT_EQ(status, 2);
}

}  // namespace
}  // namespace gantry
