// Every named fault of facts, and each stranger, gets its typed error.
#include <gtest/gtest.h>

#include "model/card.h"
#include "model/faults.h"
#include "model/text.h"

namespace gantry {
namespace {

TEST(GeometryFaults, AreRefusedAsTheyShould) {
  for (const Fault& fault : geometry_faults()) {
    const Result<ModelCard> card = read_card(as_bytes(fault.bytes));
    ASSERT_FALSE(card) << fault.name << " was accepted";
    EXPECT_EQ(code_name(card.error().code), code_name(fault.code))
        << fault.name << ": " << card.error().message;
    EXPECT_NE(card.error().message.find(fault.says), std::string::npos)
        << fault.name << ": '" << card.error().message << "' should say '" << fault.says << "'";
    EXPECT_FALSE(card.error().remedy.empty()) << fault.name;
    EXPECT_TRUE(is_clean_text(card.error().message)) << fault.name;
  }
}

TEST(StrangerFaults, AreNotTakenForModels) {
  for (const Fault& fault : stranger_faults()) {
    const Result<ModelCard> card = read_card(as_bytes(fault.bytes));
    ASSERT_FALSE(card) << fault.name << " was accepted";
    EXPECT_EQ(card.error().code, Code::kCorrupt) << fault.name;
    EXPECT_TRUE(card.error().message.starts_with("not a model file: it is ")) << fault.name;
    EXPECT_FALSE(card.error().remedy.empty()) << fault.name;
  }
}

}  // namespace
}  // namespace gantry
