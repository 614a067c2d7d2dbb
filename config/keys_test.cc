// Tests of the tables themselves.
#include "config/keys.h"

#include <gtest/gtest.h>

#include <set>

namespace gantry {
namespace {

template <class State>
void expect_unique(std::span<const ConfigKey<State>> keys) {
  std::set<std::string_view> names;
  for (const ConfigKey<State>& key : keys) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
    EXPECT_FALSE(key.about.empty()) << key.name;
  }
}

TEST(Keys, NamesAreUniqueAndDescribed) {
  expect_unique(file_keys());
  expect_unique(model_keys());
  expect_unique(group_keys());
}

TEST(Keys, ListenAddresses) {
  for (const char* good : {"127.0.0.1:0", "localhost:65535", "[::1]:8484", "0.0.0.0:80"}) {
    EXPECT_TRUE(is_listen_address(good)) << good;
  }
  for (const char* bad : {"", ":", ":80", "h:", "h:65536", "h:-1", "h:8x", "::1:80", "a b:80"}) {
    EXPECT_FALSE(is_listen_address(bad)) << bad;
  }
}

}  // namespace
}  // namespace gantry
