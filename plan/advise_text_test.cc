// The table says what the plans say.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "audit/catalogue.h"
#include "plan/advise.h"
#include "plan/catalogue.h"

namespace gantry {
namespace {

Advice advice_of(const char* machine, const std::vector<std::string>& names) {
  Demand demand;
  for (const std::string& name : names) demand.wishes.push_back(catalogue_wish(name).value());
  return advise(*catalogue_machine(machine), demand).value();
}

TEST(AdviseText, OpensWithTheVerdict) {
  EXPECT_TRUE(advice_text(advice_of("rtx3090-24g", {"llama3:8b"}))
                  .starts_with("This machine suffices as it is.\n"));
  EXPECT_TRUE(advice_text(Advice{}).starts_with("Nothing known here does"));
}

TEST(AdviseText, HasARowForEachAnswer) {
  const Advice advice = advice_of("rtx3060-12g", {"llama3:8b@Q8_0", "whisper:large-v3", "xtts:v2"});
  const std::string text = advice_text(advice);
  for (const Answer& answer : advice.answers) {
    EXPECT_NE(text.find("\n  " + answer.change + " "), std::string::npos) << answer.change;
  }
  EXPECT_NE(text.find("gpu0 "), std::string::npos);
  const nlohmann::json json = advice_json(advice);
  EXPECT_EQ(json["answers"].size(), advice.answers.size());
  EXPECT_EQ(json["models"].size(), 3U);
  EXPECT_EQ(json["suffices"], true);
  EXPECT_TRUE(json["wished"].contains("devices"));
  EXPECT_EQ(json["answers"][0]["kind"],
            std::string(answer_kind_name(advice.answers[0].kind)));
}

}  // namespace
}  // namespace gantry
