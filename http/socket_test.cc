// Tests of the socket calls.
#include "http/socket.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "http/test_peer.h"

namespace gantry::http {
namespace {

const Patience kPatience{kTestPatience, nullptr, nullptr};

TEST(Socket, NobodyThere) {
  auto address = loopback_any();
  { auto fd = listen_on(address); }  // a port that was free a moment ago
  auto fd = connect_to(address, kPatience);
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code, Code::kUnavailable);
  TestDir dir;
  auto none = connect_to(*parse_address("unix:" + dir.file("none")), kPatience);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kUnavailable);
}

TEST(Socket, TakenPortIsBusyAndNamesTheAddress) {
  auto address = loopback_any();
  auto first = listen_on(address);
  ASSERT_TRUE(first);
  EXPECT_NE(address.port, 0);
  auto second = listen_on(address);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kBusy);
  EXPECT_NE(second.error().message.find(address.text()), std::string::npos);
}

TEST(Socket, AnAddressThatIsNotOurs) {
  auto address = *parse_address("192.0.2.1:0");
  auto fd = listen_on(address);
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code, Code::kUsage);
}

TEST(Socket, SocketFileIsPrivate) {
  TestDir dir;
  auto address = *parse_address("unix:" + dir.file("s"));
  auto fd = listen_on(address);
  ASSERT_TRUE(fd) << fd.error().message;
  struct stat info {};
  ASSERT_EQ(::stat(address.unix_path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(Socket, LiveSocketFileIsBusyAndAStaleOneIsReplaced) {
  TestDir dir;
  auto address = *parse_address("unix:" + dir.file("s"));
  {
    auto live = listen_on(address);
    ASSERT_TRUE(live);
    auto second = listen_on(address);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::kBusy);
  }
  EXPECT_NE(socket_inode(address.unix_path), 0u) << "left behind, as by a killed server";
  EXPECT_TRUE(listen_on(address));
}

TEST(Socket, AFileThatIsNoSocketIsLeftAlone) {
  TestDir dir;
  auto address = *parse_address("unix:" + dir.file("f"));
  std::ofstream(address.unix_path) << "precious";
  auto fd = listen_on(address);
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code, Code::kBusy);
  std::string text;
  std::ifstream(address.unix_path) >> text;
  EXPECT_EQ(text, "precious");
}

TEST(Socket, ReceivingStopsOnTimeAndOnCancel) {
  auto address = loopback_any();
  auto listener = listen_on(address);
  auto fd = connect_to(address, kPatience);
  ASSERT_TRUE(fd);
  char buffer[8];
  auto late = receive_some(fd->get(), buffer, sizeof(buffer), {Millis{20}, nullptr, nullptr});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::kTimeout);
  const Cancel cancel{true};
  const Patience ended{kTestPatience, &cancel, nullptr};
  auto cancelled = receive_some(fd->get(), buffer, sizeof(buffer), ended);
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, Code::kCancelled);
}

TEST(Socket, SendingToOneWhoDoesNotReadTimesOut) {
  auto address = loopback_any();
  auto listener = listen_on(address);
  auto fd = connect_to(address, kPatience);
  ASSERT_TRUE(fd);
  const std::string much(64 << 20, 'x');
  auto sent = send_all(fd->get(), much, {Millis{50}, nullptr, nullptr});
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Code::kTimeout);
}

}  // namespace
}  // namespace gantry::http
