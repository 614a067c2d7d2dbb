// What anybody may have written is read with care.
#include "foreman/lease_file.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gantry {
namespace {

using nlohmann::json;

json sound() {
  return {{"version", 1U}, {"device", "host"}, {"bytes", 5U}, {"pid", 77U}, {"start_ticks", 9U},
          {"boot_id", "b"}, {"uid", 1000U}, {"program", "train.py"}};
}

TEST(LeaseFile, IsReadAsItWasWritten) {
  const SharedLease lease{"pci:0000:01:00.0", GiB(5), true, 1234, 99, "boot", 1000, 7, "m", "d1"};
  const Result<SharedLease> read = parse_lease(lease_text(lease));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, lease);
  SharedLease odd = lease;
  odd.program = "a\"b\n\xff";
  EXPECT_EQ(parse_lease(lease_text(odd))->program, "a\"b__");
  const Result<SharedLease> small = parse_lease(sound().dump());
  ASSERT_TRUE(small) << small.error().message;
  EXPECT_FALSE(small->whole);
  EXPECT_TRUE(small->daemon.empty());
}

TEST(LeaseFile, RefusesByTheFieldsName) {
  const auto with = [](const char* field, const json& value) {
    json body = sound();
    body[field] = value;
    return parse_lease(body.dump()).error().message;
  };
  for (const char* field : {"device", "program", "boot_id"}) {
    for (const json& bad : {json(7U), json(""), json(std::string(257, 'x')), json("a\tb"),
                            json(nullptr), json::array()}) {
      EXPECT_TRUE(with(field, bad).starts_with(std::string("lease: ") + field)) << bad;
    }
  }
  for (const char* field : {"bytes", "pid", "start_ticks", "uid", "token", "version"}) {
    for (const json& bad : {json(-1), json(1.5), json("5"), json(UINT64_MAX), json(true)}) {
      EXPECT_TRUE(with(field, bad).starts_with(std::string("lease: ") + field)) << bad;
    }
  }
  EXPECT_TRUE(with("pid", 1U).starts_with("lease: pid"));
  EXPECT_TRUE(with("exclusive", 1U).starts_with("lease: exclusive"));
  for (const char* field : {"version", "device", "bytes", "pid", "start_ticks", "boot_id", "uid"}) {
    json body = sound();
    body.erase(field);
    EXPECT_TRUE(parse_lease(body.dump()).error().message.find(field) != std::string::npos);
  }
  EXPECT_EQ(parse_lease(R"({"version":2})").error().code, Code::kUnsupported);
}

TEST(LeaseFile, RefusesWhatIsNoLease) {
  for (const std::string& text : {std::string(), std::string("5"), std::string("[1]"),
                                  std::string("{"), std::string(4000, '['),
                                  std::string(4096, '{')}) {
    EXPECT_EQ(parse_lease(text).error().code, Code::kCorrupt);
  }
  std::string large = sound().dump();
  large.resize(4096, ' ');
  EXPECT_TRUE(parse_lease(large));
  large += ' ';
  EXPECT_EQ(parse_lease(large).error().code, Code::kTooLarge);
}

}  // namespace
}  // namespace gantry
