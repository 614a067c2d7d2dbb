// Two daemons of one machine give nothing twice.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <future>

#include "foreman/lease_folder.h"
#include "foreman/leftovers.h"
#include "foreman/test_bench.h"

namespace gantry {
namespace {

// 3 GiB are free; each daemon may lend 2.5 GiB of it.
class Elsewhere : public testing::Test {
 protected:
  Elsewhere() : other_(one_.dir + "/two") {
    std::filesystem::create_directories(other_.dir);
    for (TestBench* bench : {&one_, &other_}) {
      bench->config.lease_dir = one_.dir + "/leases";
      bench->config.ram_budget = Budget{MiB(2'500), std::nullopt};
      bench->add_model("large", MiB(2'000));
    }
  }
  std::unique_ptr<LeaseFolder> stranger() {
    return *open_lease_folder(*os_, one_.dir + "/leases", read_boot_id(*os_), "stranger");
  }
  static Bytes elsewhere(TestBench& bench) { return bench.foreman->ledger()[0].elsewhere; }

  std::unique_ptr<Os> os_ = make_real_os();
  TestBench one_, other_;
  const http::Cancel never_{false};
};

TEST_F(Elsewhere, WhatOthersLeaseIsWaitedFor) {
  ASSERT_TRUE(one_.start());
  const auto stranger = this->stranger();
  ASSERT_TRUE(stranger->put({"host", MiB(2'600), false, ::getpid(), 0, "", 0, 5, "train", ""}));
  ASSERT_TRUE(stranger->put({"pci:0000:77:00.0", GiB(9), false, ::getpid(), 0, "", 0, 6, "x", ""}));
  EXPECT_EQ(elsewhere(one_), MiB(2'600));
  EXPECT_TRUE(one_.foreman->open("small", never_, false));
  const std::vector<LeaseStatus> leases = one_.foreman->leases();
  ASSERT_EQ(leases.size(), 2U);
  EXPECT_EQ(leases[0].holder, "small");
  EXPECT_FALSE(leases[0].uid);
  EXPECT_EQ(leases[1].holder, "train");
  EXPECT_EQ(leases[1].device, "cpu");
  EXPECT_EQ(leases[1].uid, ::geteuid());
  auto large = std::async(std::launch::async,
                          [&] { return one_.foreman->open("large", never_, false).has_value(); });
  EXPECT_EQ(large.wait_for(Millis(300)), std::future_status::timeout);
  EXPECT_EQ(one_.host.starts("large"), 0);
  stranger->drop(5);
  EXPECT_TRUE(large.get());
}

TEST_F(Elsewhere, WhoHasTheWholeDeviceIsAlone) {
  ASSERT_TRUE(one_.start());
  const auto stranger = this->stranger();
  ASSERT_TRUE(stranger->put({"host", MiB(1), true, ::getpid(), 0, "", 0, 5, "train", ""}));
  auto small = std::async(std::launch::async,
                          [&] { return one_.foreman->open("small", never_, false).has_value(); });
  EXPECT_EQ(small.wait_for(Millis(200)), std::future_status::timeout);
  stranger->drop(5);
  EXPECT_TRUE(small.get());
}

TEST_F(Elsewhere, OursIsTold) {
  ASSERT_TRUE(one_.start());
  const auto stranger = this->stranger();
  {
    auto small = one_.foreman->open("small", never_, false);
    ASSERT_TRUE(small);
    const std::vector<SharedLease> heard = stranger->others();
    ASSERT_EQ(heard.size(), 1U);
    EXPECT_EQ(heard[0].device, "host");
    EXPECT_EQ(heard[0].bytes, MiB(100));
    EXPECT_EQ(heard[0].program, "small");
    EXPECT_GT(heard[0].pid, 0);
  }
  ASSERT_TRUE(one_.foreman->unload("small"));
  EXPECT_TRUE(stranger->others().empty());
}

TEST_F(Elsewhere, TwoDaemonsUnderLoadNeverLendTheSameBytes) {
  ASSERT_TRUE(one_.start());
  ASSERT_TRUE(other_.start());
  std::atomic<int> inside{0}, most{0};
  const auto use = [&](TestBench& bench) {
    int had = 0;
    for (int i = 0; i < 25; ++i) {
      auto session = bench.foreman->open("large", never_, false);
      if (!session) break;
      ++had;
      most = std::max(most.load(), ++inside);
      std::this_thread::sleep_for(Millis(1));
      --inside;
      session->reset();
      if (!bench.foreman->unload("large")) break;
    }
    return had;
  };
  auto theirs = std::async(std::launch::async, [&] { return use(other_); });
  EXPECT_EQ(use(one_), 25);
  EXPECT_EQ(theirs.get(), 25);
  EXPECT_EQ(most, 1);
}

}  // namespace
}  // namespace gantry
