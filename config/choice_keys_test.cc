// Tests of models that are one of several others.
#include "config/choice_keys.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

const std::string kEars = "  big: {kind: speech, file: big.bin}\n  little: {file: little.bin}\n";

Error error_of(const std::string& text) {
  const auto config = parse_config(text, "f");
  return config ? Error{Code::kInternal, "it was accepted"} : config.error();
}

TEST(ChoiceKeys, AllOfThemAndTheirDefaults) {
  const auto config = parse_config("models:\n" + kEars +
                                   "  ear: {one_of: [big, 'little#device=gpu0', big#device=cpu]}\n"
                                   "  ohr: {one_of: [big, little], mode: speed, keep_up: 0.25, "
                                   "step_after: 3, aliases: [oreille], kind: speech}\n", "f");
  ASSERT_TRUE(config) << config.error().message;
  const ModelConfig& ear = config->models[2];
  EXPECT_EQ(ear.one_of, (std::vector<std::string>{"big", "little#device=gpu0", "big#device=cpu"}));
  EXPECT_EQ(ear.mode, Mode::kBalanced);
  EXPECT_EQ(ear.keep_up, 0.5);
  EXPECT_EQ(ear.step_after_s, 10U);
  EXPECT_EQ(ear.kind, "speech");
  const ModelConfig& ohr = config->models[3];
  EXPECT_EQ(ohr.mode, Mode::kSpeed);
  EXPECT_EQ(ohr.keep_up, 0.25);
  EXPECT_EQ(ohr.step_after_s, 3U);
  EXPECT_EQ(ohr.aliases, std::vector<std::string>{"oreille"});
}

TEST(ChoiceKeys, WhatCannotBeIsRefusedAtItsPlace) {
  const auto ear = [](const std::string& keys) { return "models:\n" + kEars + "  ear: " + keys; };
  for (const auto& [text, place, says] :
       {std::tuple{ear("{one_of: [big, ear]}\n"), "f:4:23: ", "one of itself"},
        {ear("{one_of: [big, ear#device=cpu]}\n"), "f:4:23: ", "one of itself"},
        {ear("{one_of: [big, big]}\n"), "f:4:23: ", "there twice"},
        {ear("{one_of: [big]}\n"), "f:4:17: ", "2 to 16"},
        {ear("{one_of: []}\n"), "f:4:17: ", "2 to 16"},
        {ear("{one_of: big}\n"), "f:4:17: ", "want a list"},
        {ear("{one_of: [big, little#8]}\n"), "f:4:23: ", "no device"},
        {ear("{one_of: [big, little#device=]}\n"), "f:4:23: ", "no device"},
        {ear("{one_of: [big, little], mode: fast}\n"), "f:4:38: ", "no mode"},
        {ear("{one_of: [big, little], keep_up: 0}\n"), "f:4:41: ", "no share"},
        {ear("{one_of: [big, little], keep_up: nan}\n"), "f:4:41: ", "no share"},
        {ear("{one_of: [big, little], file: x}\n"), "f:4:32: ", "beside one_of"},
        {ear("{one_of: [big, little], cloud: far}\n"), "f:4:32: ", "beside one_of"},
        {ear("{one_of: [big, little], kind: vision}\n"), "f:4:38: ", "not chosen"},
        {ear("{file: x, mode: speed}\n"), "f:4:18: ", "without one_of"},
        {ear("{one_of: [big, eye]}\n  eye: {kind: vision, file: x}\n"), "f:4:23: ",
         "is a vision model"},
        {ear("{one_of: [big, two]}\n  two: {one_of: [big, little]}\n"), "f:4:23: ",
         "one of others itself"}}) {
    const Error error = error_of(text);
    EXPECT_EQ(error.code, Code::kCorrupt) << text;
    EXPECT_TRUE(error.message.starts_with(place)) << text << error.message;
    EXPECT_NE(error.message.find(says), std::string::npos) << text << error.message;
  }
}

TEST(ChoiceKeys, AMemberOfAnotherFileIsKnownOnceAllAreRead) {
  FakeOs os;
  os.environment["HOME"] = "/u";
  os.files["/etc/gantry/config.yaml"] =
      "models:\n" + kEars + "  ear: {one_of: [nobody, little]}\n";
  const std::string mine = "models: {ear: {one_of: [big, small]}}\n";
  EXPECT_TRUE(parse_config(mine, "f"));
  const auto warnings = check_config(mine, "f");
  ASSERT_EQ(warnings->size(), 2U);
  EXPECT_EQ(warnings->front().where, "f:1:25");
  os.files["/mine.yaml"] = mine;
  const auto unknown = load_config(os, "/mine.yaml", {});
  EXPECT_EQ(unknown.error().code, Code::kCorrupt);
  EXPECT_TRUE(unknown.error().message.starts_with("/mine.yaml:1:30: there is no model \"small\""))
      << unknown.error().message;
  os.files["/mine.yaml"] = "models: {ear: {one_of: [big, little]}}\n";  // in the other one's place
  EXPECT_TRUE(load_config(os, "/mine.yaml", {}));
  os.files["/mine.yaml"] = "models: {ear: {file: ear.bin}}\n";
  EXPECT_TRUE(load_config(os, "/mine.yaml", {}));
  EXPECT_TRUE(load_config(os, "", {}).error().message.starts_with("/etc/gantry/config.yaml:4:18"));
}

TEST(ChoiceKeys, ModesHaveNames) {
  for (const std::string_view name : kModes) EXPECT_EQ(mode_name(*mode_of(name)), name);
  EXPECT_FALSE(mode_of("fast"));
  EXPECT_EQ(member_model("a#device=cpu"), "a");
  EXPECT_EQ(member_model("a"), "a");
}

}  // namespace
}  // namespace gantry
