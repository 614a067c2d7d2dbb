// The stored history: complete, newest first, bounded.
#include <gtest/gtest.h>

#include "base/limits.h"
#include "foreman/store_bench.h"

namespace gantry {
namespace {

using LoadsOf = Store::LoadsOf;

class LoadsTest : public StoreBench {
 protected:
  static LoadSeen load(const std::string& model, int64_t ms) {
    LoadSeen seen;
    seen.fingerprint = model + "|1";
    seen.model = model;
    seen.at = at(ms);
    seen.bytes = {{"cpu", MiB(10), MiB(11)}, {"gpu0", MiB(20), std::nullopt}};
    seen.load_s = 0.5;
    return seen;
  }
};

TEST_F(LoadsTest, EveryFieldSurvives) {
  LoadSeen seen = load("m", 7);
  seen.corrected = MiB(3);
  seen.load_s_predicted = 0.25;
  seen.decode_predicted = 12.5;
  const Result<int64_t> id = store_->add_load(seen);
  ASSERT_TRUE(id) << id.error().message;
  seen.id = *id;
  seen.end = LoadEnd::kDied;
  seen.sessions = 4;
  seen.decode = 10.5;
  seen.bytes[0].measured = MiB(15);
  ASSERT_TRUE(store_->update_load(seen));
  reopen();
  const std::vector<LoadSeen> all = *store_->loads(LoadsOf::kAll, "", 10);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].fingerprint, "m|1");
  EXPECT_EQ(all[0].at, at(7));
  EXPECT_EQ(all[0].end, LoadEnd::kDied);
  EXPECT_EQ(all[0].sessions, 4U);
  EXPECT_EQ(all[0].corrected, MiB(3));
  EXPECT_EQ(all[0].load_s, 0.5);
  EXPECT_EQ(all[0].load_s_predicted, 0.25);
  EXPECT_EQ(all[0].decode, 10.5);
  EXPECT_EQ(all[0].decode_predicted, 12.5);
  ASSERT_EQ(all[0].bytes.size(), 2U);
  EXPECT_EQ(all[0].bytes[0].measured, MiB(15));
  EXPECT_EQ(all[0].bytes[1].device, "gpu0");
  EXPECT_EQ(all[0].bytes[1].predicted, MiB(20));
  EXPECT_FALSE(all[0].bytes[1].measured);
}

TEST_F(LoadsTest, ByModelByFingerprintAndTheLastOfEach) {
  for (int64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(store_->add_load(load("a", i)));
    ASSERT_TRUE(store_->add_load(load("b", 10 + i)));
  }
  const std::vector<LoadSeen> a = *store_->loads(LoadsOf::kModel, "a", 2);
  ASSERT_EQ(a.size(), 2U);
  EXPECT_EQ(a[0].at, at(2));
  EXPECT_EQ(store_->loads(LoadsOf::kFingerprint, "b|1", 10)->size(), 3U);
  EXPECT_TRUE(store_->loads(LoadsOf::kFingerprint, "b", 10)->empty());
  const std::vector<LoadSeen> last = *store_->loads(LoadsOf::kLastOfEach, "", 10);
  ASSERT_EQ(last.size(), 2U);
  EXPECT_EQ(last[0].at, at(12));
  EXPECT_EQ(last[1].at, at(2));
}

TEST_F(LoadsTest, TheOldestOfAModelGo) {
  for (uint32_t i = 0; i <= kLoadsKept; ++i) {
    EXPECT_EQ(store_->loads(LoadsOf::kModel, "a", kLoadsKept + 2)->size(), i);
    ASSERT_TRUE(store_->add_load(load("a", i)));
  }
  LoadSeen gone = load("a", 0);
  gone.id = 1;
  EXPECT_TRUE(store_->update_load(gone));  // trimmed meanwhile: nothing to do
  const std::vector<LoadSeen> kept = *store_->loads(LoadsOf::kModel, "a", kLoadsKept + 2);
  ASSERT_EQ(kept.size(), kLoadsKept);
  EXPECT_EQ(kept.back().at, at(1));
  EXPECT_EQ(kept.back().bytes.size(), 2U);
}

}  // namespace
}  // namespace gantry
