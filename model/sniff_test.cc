// What strangers look like; the remedy fits the kind.
#include "model/sniff.h"

#include <gtest/gtest.h>

#include <string>

#include "model/forge.h"

namespace gantry {
namespace {

TEST(Sniff, NamesTheKind) {
  EXPECT_EQ(look_at(as_bytes("")).what, "empty");
  EXPECT_EQ(look_at(as_bytes("PK\x03\x04....")).what,
            "a zip archive, perhaps a PyTorch checkpoint");
  EXPECT_EQ(look_at(as_bytes("  <!doctype HTML>")).what, "a web page");
  EXPECT_EQ(look_at(as_bytes("{\"a\":1}")).what, "a JSON text");
  EXPECT_EQ(look_at(as_bytes("not found\n")).what, "plain text");
  EXPECT_EQ(look_at(as_bytes(std::string(512, '\0'))).what, "all zeros at its start");
  EXPECT_EQ(look_at(as_bytes("\x01\x02\x03\x04")).what, "of a kind that is not known");
  EXPECT_EQ(look_at(as_bytes(Ink().put<uint64_t>(9000).raw("{\"x").out)).what,
            "a safetensors file");
}

TEST(Sniff, SaysHowToGetTheFileBehindALfsPointer) {
  const Lookalike seen = look_at(as_bytes("version https://git-lfs.github.com/spec/v1\n"));
  EXPECT_EQ(seen.remedy, "fetch the content: git lfs pull");
}

TEST(Sniff, ReadsNoFurtherThanTheFile) {
  const std::string tar = std::string(257, 'x') + "ustar";
  EXPECT_EQ(look_at(as_bytes(tar)).what, "a tar archive");
  for (size_t size = 1; size < tar.size(); ++size) {
    const std::string cut = tar.substr(0, size);
    EXPECT_EQ(look_at(as_bytes(cut)).what, "plain text") << size;
  }
}

}  // namespace
}  // namespace gantry
