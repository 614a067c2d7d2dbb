// Every named fault of whisper files gets its typed error.
#include <gtest/gtest.h>

#include "model/card.h"
#include "model/faults.h"
#include "model/text.h"

namespace gantry {
namespace {

TEST(WhisperFaults, AreRefusedAsTheyShould) {
  for (const Fault& fault : whisper_faults()) {
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

}  // namespace
}  // namespace gantry
