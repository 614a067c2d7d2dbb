// Common flags: checked before anything is started.
#include "apps/context.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

TEST(Context, FlagsAndEnvironmentBecomeOptions) {
  FakeOs os;
  const Interrupt interrupt;
  os.environment = {{"HOME", "/home/me"}, {"GANTRY_HOST", "127.0.0.1:9999"}};
  CliContext context{os, interrupt};
  context.ram_budget = "2GiB";
  EXPECT_EQ(context.link_options()->host, "127.0.0.1:9999");
  EXPECT_EQ(context.link_options()->ram_budget, "2GiB");
  context.host = "[::1]:1";
  EXPECT_EQ(context.link_options()->host, "[::1]:1");
}

TEST(Context, BadFlagsAreUsageErrors) {
  FakeOs os;
  const Interrupt interrupt;
  os.environment = {{"HOME", "/home/me"}};
  for (const char* budget : {"0", "-1GiB", "0%", "120%", "lots"}) {
    CliContext context{os, interrupt};
    context.ram_budget = budget;
    const Result<LinkOptions> got = context.link_options();
    ASSERT_FALSE(got) << budget;
    EXPECT_EQ(got.error().code, Code::kUsage) << budget;
  }
  CliContext context{os, interrupt};
  context.host = "no port";
  EXPECT_FALSE(context.link_options());
}

TEST(Context, ExitStatusIsTheCodes) {
  FakeOs os;
  const Interrupt interrupt;
  CliContext context{os, interrupt};
  EXPECT_EQ(context.finish({}), 0);
  EXPECT_EQ(context.finish(fail(Code::kDoesNotFit, "x")), 3);
  EXPECT_EQ(context.finish(fail(Code::kUnavailable, "x")), 4);
}

}  // namespace
}  // namespace gantry
