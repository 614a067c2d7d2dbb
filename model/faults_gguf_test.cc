// Every named fault of the container gets its typed error, and there are enough of them.
#include <gtest/gtest.h>

#include <set>

#include "model/card.h"
#include "model/faults.h"
#include "model/text.h"

namespace gantry {
namespace {

constexpr size_t kNamedFaultsMin = 300;

TEST(GgufFaults, AreRefusedAsTheyShould) {
  for (const Fault& fault : gguf_faults()) {
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

TEST(AllFaults, HaveNamesOfTheirOwnAndAreMany) {
  std::set<std::string> names;
  for (const auto& faults : {gguf_faults(), geometry_faults(), whisper_faults(),
                             stranger_faults()}) {
    for (const Fault& fault : faults) {
      EXPECT_TRUE(names.insert(fault.name).second) << fault.name << " is there twice";
    }
  }
  EXPECT_GE(names.size(), kNamedFaultsMin);
  RecordProperty("named_faults", static_cast<int>(names.size()));
}

}  // namespace
}  // namespace gantry
