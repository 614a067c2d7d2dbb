// The forged files are right where nothing was changed; else every test of a fault would be void.
#include "model/forge.h"

#include <gtest/gtest.h>

#include "model/card.h"

namespace gantry {
namespace {

TEST(Forge, WritesRightFiles) {
  for (const uint32_t type : {0U, 1U, 2U, 8U, 40U, 42U}) {
    const Result<ModelCard> card = read_card(as_bytes(forge_language("llama", type).bytes()));
    EXPECT_TRUE(card) << type << ": " << card.error().message;
  }
  EXPECT_TRUE(read_card(as_bytes(forge_projector().bytes())));
}

TEST(Forge, ReplacesAndRemovesPairs) {
  GgufForge forge;
  forge.set("a", 1).set("b", 2).set("a", 3);
  ASSERT_EQ(forge.pairs.size(), 2U);
  EXPECT_EQ(forge.pairs[0].second, Ink().put<uint32_t>(4).put<uint32_t>(3).out);
  forge.without("a");
  EXPECT_EQ(forge.pairs.size(), 1U);
}

TEST(Forge, DeclaresOtherCountsThanItWrites) {
  GgufForge forge = forge_language();
  const std::string right = forge.bytes();
  forge.pair_count = 99;
  const std::string wrong = forge.bytes();
  EXPECT_EQ(wrong.size(), right.size());
  EXPECT_NE(wrong, right);
}

}  // namespace
}  // namespace gantry
