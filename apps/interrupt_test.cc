// Signals become a flag, on a thread of their own.
#include "apps/interrupt.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace gantry {
namespace {

TEST(Interrupt, ASignalSetsTheFlag) {
  Interrupt interrupt;
  EXPECT_FALSE(interrupt.flag());
  EXPECT_EQ(interrupt.signal(), 0);
  ::kill(::getpid(), SIGTERM);
  interrupt.wait();
  EXPECT_TRUE(interrupt.flag());
  EXPECT_EQ(interrupt.signal(), SIGTERM);
}

TEST(Interrupt, FinishWakesWhoWaits) {
  Interrupt interrupt;
  std::thread waiter([&interrupt] { interrupt.wait(); });
  interrupt.finish();
  waiter.join();
  EXPECT_EQ(interrupt.signal(), 0);
}

TEST(Interrupt, TheSecondSignalEndsTheProgram) {
  EXPECT_EXIT(
      {
        Interrupt interrupt;
        ::kill(::getpid(), SIGINT);
        interrupt.wait();
        ::kill(::getpid(), SIGINT);
        ::pause();
      },
      ::testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace gantry
