// Databases of every older version are brought to this one.
#include "foreman/schema.h"

#include <gtest/gtest.h>

#include "foreman/store_bench.h"

namespace gantry {
namespace {

class SchemaTest : public StoreBench {};

TEST_F(SchemaTest, EveryOlderSchemaIsBroughtForward) {
  const std::span<const Migration> all = job_schema();
  for (size_t known = 1; known <= all.size(); ++known) {
    const std::string old_path = dir_ + "/old" + std::to_string(known);
    {
      auto old = Database::open(old_path, {all.first(known), 0});
      ASSERT_TRUE(old) << old.error().message;
      ASSERT_TRUE((*old)->run("INSERT INTO jobs(id,kind,params,priority,state,submitted_ms)"
                              " VALUES('kept','k','{}',0,'queued',9);"
                              "INSERT INTO files(job,position,path,size,mtime_ns,inode)"
                              " VALUES(1,0,'/a.wav',1,2,3)", "fill"));
      ASSERT_TRUE((*old)->run("INSERT INTO leases(token,device,bytes,model,pid,start_ticks,boot_id)"
                              " VALUES(7,'gpu0',5,'kept',77,770,'boot')", "fill"));
    }
    auto store = Store::open(old_path, {});
    ASSERT_TRUE(store) << store.error().message;
    EXPECT_EQ((*store)->job("kept")->submitted, at(9));
    EXPECT_EQ((*store)->job("kept")->input_sha256, std::vector<std::string>{""});
    const std::vector<LeaseRow> leases = *(*store)->leases();
    ASSERT_EQ(leases.size(), 1U);
    EXPECT_EQ(leases[0].start_ticks, 770U);
    EXPECT_EQ(leases[0].heartbeat, Millis(0));
    EXPECT_FALSE(leases[0].deadline || leases[0].whole || leases[0].program);
    LoadSeen seen;
    seen.bytes = {{"cpu", MiB(1), MiB(2)}};
    EXPECT_TRUE((*store)->add_load(seen));
    EXPECT_TRUE((*store)->add_pace({"print", "m", "cpu", 2, 1, at(5)}, true));
    EXPECT_TRUE((*store)->modes()->empty());
    EXPECT_EQ((*store)->tally()->of(JobState::kQueued), 1U);
    EXPECT_TRUE((*store)->job("kept")->spec.device.empty());
    ASSERT_TRUE((*store)->cancel("kept", at(10)));
    ASSERT_EQ((*store)->prune({}, 10, false)->size(), 1U);
    EXPECT_EQ((*store)->tally()->of(JobState::kCancelled), 0U);
  }
}

}  // namespace
}  // namespace gantry
