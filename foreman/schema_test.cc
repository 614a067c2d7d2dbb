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
                              " VALUES('kept','k','{}',0,'queued',9)", "fill"));
    }
    auto store = Store::open(old_path, {});
    ASSERT_TRUE(store) << store.error().message;
    EXPECT_EQ((*store)->job("kept")->submitted, at(9));
    LoadSeen seen;
    seen.bytes = {{"cpu", MiB(1), MiB(2)}};
    EXPECT_TRUE((*store)->add_load(seen));
  }
}

}  // namespace
}  // namespace gantry
