// The tables hold together.
#include "model/catalogue_shapes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace gantry {
namespace {

TEST(CatalogueShapes, NamesAreUnique) {
  std::set<std::string_view> names;
  const auto add = [&](std::string_view name) {
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_NE(name.find(':'), name.npos) << name;
    EXPECT_EQ(name.find('@'), name.npos) << name;
  };
  for (const LanguageShape& row : language_shapes()) add(row.name);
  for (const SpeechShape& row : speech_shapes()) add(row.name);
  for (const DeclaredShape& row : declared_shapes()) add(row.name);
  EXPECT_GE(names.size(), 75U);
  for (const CatalogueAlias& alias : catalogue_aliases()) {
    EXPECT_TRUE(names.contains(alias.entry)) << alias.name;
    EXPECT_FALSE(names.contains(alias.name)) << alias.name;
  }
}

TEST(CatalogueShapes, NumbersGoTogether) {
  for (const LanguageShape& row : language_shapes()) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(row.name, row.size.name);
    EXPECT_EQ(row.size.heads % row.size.kv_heads, 0U);
    EXPECT_TRUE(row.size.head_size > 0 || row.size.embd % row.size.heads == 0);
    EXPECT_EQ(row.window > 0, row.every > 0);
    EXPECT_LE(row.size.experts_used, row.size.experts);
    EXPECT_GT(metadata_bytes(row.tokens), KiB(512));
    const bool known = row.encoder.empty() ||
                       std::ranges::find(encoder_shapes(), row.encoder, &EncoderShape::name) !=
                           encoder_shapes().end();
    EXPECT_TRUE(known);
  }
  for (const EncoderShape& row : encoder_shapes()) EXPECT_EQ(row.image % row.patch, 0U);
  for (const DeclaredShape& row : declared_shapes()) {
    EXPECT_GE(row.device, row.weights) << row.name;
    EXPECT_GT(row.host_only, row.weights) << row.name;
    EXPECT_FALSE(row.source.empty()) << row.name;
  }
}

}  // namespace
}  // namespace gantry
