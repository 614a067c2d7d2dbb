// Leases over the socket.
#include "serve/test_server.h"

namespace gantry {
namespace {

class Leases : public ApiTest {
 protected:
  static json wish() {
    return {{"device", "gpu0"}, {"bytes", 5U}, {"pid", 77U}, {"program", "train"}};
  }
  void start_and_list(const std::string& expected) {
    start();
    EXPECT_EQ(json::parse(get("/v1/leases").body), json::parse(expected));
  }
};

TEST_F(Leases, AreHeldAsLongAsTheConnection) {
  start();
  http::Cancel leave{false};
  std::string heard;
  http::FetchOptions options;
  options.cancel = &leave;
  options.on_piece = [&](std::string_view piece) {
    heard += piece;
    EXPECT_EQ(foreman_.lent, 1);
    leave = heard.find("\n\n") != std::string::npos;
    return true;
  };
  (void)http::fetch(local(), {"POST", "/v1/leases", {}, wish().dump()}, options);
  const json granted = json::parse(heard.substr(6));
  EXPECT_EQ(granted["type"], "granted");
  EXPECT_EQ(granted["token"], "7");
  EXPECT_EQ(granted["bytes"], 5);
  EXPECT_EQ(granted["environment"]["CARD"], "0");
  EXPECT_EQ(foreman_.leased.pid, 77);
  EXPECT_EQ(foreman_.leased.program, "train");
  wait_for([&] { return foreman_.lent == 0; });
}

TEST_F(Leases, AreListed) {
  const WallTime start{std::chrono::seconds(1'800'000'000)};
  foreman_.held = {{7, "train", true, 77, "gpu0", MiB(5), true, start, start + Millis(10'000),
                    start + std::chrono::hours(2)},
                   {8, "chat", false, 78, "cpu", MiB(6), false, start, start, {}, 1001}};
  start_and_list(R"({"data":[)"
                 R"({"bytes":5242880,"deadline":"2027-01-15T10:00:00.000Z","device":"gpu0",)"
                 R"("exclusive":true,"heartbeat":"2027-01-15T08:00:10.000Z","holder":"train",)"
                 R"("kind":"program","pid":77,"since":"2027-01-15T08:00:00.000Z","token":"7",)"
                 R"("uid":null},)"
                 R"({"bytes":6291456,"deadline":null,"device":"cpu","exclusive":false,)"
                 R"("heartbeat":"2027-01-15T08:00:00.000Z","holder":"chat","kind":"worker",)"
                 R"("pid":78,"since":"2027-01-15T08:00:00.000Z","token":"8","uid":1001}],)"
                 R"("object":"list"})");
}

TEST_F(Leases, RefuseStrangersAndBadWishes) {
  start();
  EXPECT_EQ(post("/v1/leases", wish()).status, 403);
  const auto with = [&](const char* key, const json& value) {
    json body = wish();
    body[key] = value;
    return error_of(post_local("/v1/leases", body));
  };
  EXPECT_EQ(with("device", ""), "400 invalid_request_error usage device");
  EXPECT_EQ(with("program", 7), "400 invalid_request_error usage program");
  for (const json& pid : {json(0U), json(1U), json(-7), json("7"), json(1ULL << 31)}) {
    EXPECT_EQ(with("pid", pid), "400 invalid_request_error usage pid");
  }
  EXPECT_EQ(with("bytes", -1), "400 invalid_request_error usage bytes");
  EXPECT_EQ(with("whole", 1), "400 invalid_request_error usage whole");
  EXPECT_EQ(with("priority", 101), "400 invalid_request_error usage priority");
  EXPECT_EQ(with("limit_s", "2h"), "400 invalid_request_error usage limit_s");
  EXPECT_EQ(with("limit_s", 366 * 86'400 + 1), "400 invalid_request_error usage limit_s");
  EXPECT_EQ(post_local("/v1/leases", {{"device", "gpu9"}, {"program", "x"}, {"pid", 7U}}).status,
            404);
}

}  // namespace
}  // namespace gantry
