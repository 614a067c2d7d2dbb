// For tests: a store on a folder of its own, opened and opened again.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "foreman/store.h"

namespace gantry {

inline WallTime at(int64_t ms) { return WallTime(Millis(ms)); }

class StoreBench : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "gantry-store-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    dir_ = path;
    reopen();
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(dir_);
  }
  std::string path() const { return dir_ + "/gantry.db"; }
  void reopen(StoreOptions options = {}) {
    store_.reset();
    Result<std::unique_ptr<Store>> opened = Store::open(path(), std::move(options));
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
  }
  std::string add(const std::string& id, int priority = 0) {
    JobSpec spec;
    spec.kind = "test";
    spec.params = "{}";
    spec.priority = priority;
    Result<std::string> added = store_->add(id, spec, {}, at(1));
    EXPECT_TRUE(added) << added.error().message;
    return added.value_or("");
  }
  Claim claim() {
    Result<std::optional<Claim>> claimed = store_->claim(at(2));
    EXPECT_TRUE(claimed && *claimed);
    return claimed && *claimed ? **claimed : Claim{};
  }
  JobState state(const std::string& id) { return store_->job(id)->state; }

  std::string dir_;
  std::unique_ptr<Store> store_;
};

}  // namespace gantry
