// Tests of the options: every name, every malformed value, presets, and the file.
#include "stream/options.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

namespace gantry {
namespace {

using Values = std::map<std::string, std::string>;

Result<StreamOptions> parse(Values values) {
  return parse_options([values](const std::string& name) -> std::optional<std::string> {
    const auto at = values.find(name);
    return at == values.end() ? std::nullopt : std::make_optional(at->second);
  });
}

TEST(Options, NothingSaidIsAuto) {
  const auto options = parse({});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->inner, "");
  EXPECT_EQ(options->preset, Preset::kAuto);
  EXPECT_FALSE(options->resident_layers);
  EXPECT_FALSE(options->device_budget);
  EXPECT_FALSE(options->host_budget);
  EXPECT_FALSE(options->ring);
  EXPECT_FALSE(options->experts);
  EXPECT_EQ(options->order, LayerOrder::kInterleave);
  EXPECT_EQ(options->io, ReaderKind::kAuto);
  EXPECT_FALSE(options->exact);
  EXPECT_EQ(options->kv, CacheHome::kDevice);
  EXPECT_TRUE(options->summary);
  EXPECT_EQ(options->stats_file + options->trace_file, "");
}

TEST(Options, EveryNameIsHeard) {
  const auto options = parse({{"inner", "CUDA1"},          {"preset", "balanced"},
                              {"resident", "7"},           {"device_budget", "6GiB"},
                              {"host_budget", "8GiB"},     {"ring", "64MiB"},
                              {"experts", "256MiB"},       {"placement", "tail"},
                              {"io", "threads"},           {"exact", "1"},
                              {"summary", "0"},            {"stats", "/tmp/s"},
                              {"trace", "/tmp/t"},         {"kv", "host"}});
  ASSERT_TRUE(options) << describe(options.error());
  EXPECT_EQ(options->inner, "CUDA1");
  EXPECT_EQ(options->preset, Preset::kBalanced);
  EXPECT_EQ(options->resident_layers, 7u);
  EXPECT_EQ(options->device_budget->of(GiB(16)), GiB(6));
  EXPECT_EQ(options->host_budget, GiB(8));
  EXPECT_EQ(options->ring, MiB(64));
  EXPECT_EQ(options->experts, MiB(256));
  EXPECT_EQ(options->order, LayerOrder::kTail);
  EXPECT_EQ(options->io, ReaderKind::kThreads);
  EXPECT_TRUE(options->exact);
  EXPECT_FALSE(options->summary);
  EXPECT_EQ(options->stats_file, "/tmp/s");
  EXPECT_EQ(options->trace_file, "/tmp/t");
  EXPECT_EQ(options->kv, CacheHome::kHost);
}

TEST(Options, OtherSpellings) {
  EXPECT_EQ(parse({{"device_budget", "80%"}})->device_budget->of({1000}), Bytes{800});
  EXPECT_EQ(parse({{"resident", "0"}})->resident_layers, 0u);
  EXPECT_EQ(parse({{"resident", "4294967295"}})->resident_layers, UINT32_MAX);
  EXPECT_EQ(parse({{"host_budget", "0"}})->host_budget, Bytes{0});
  EXPECT_EQ(parse({{"io", "uring"}})->io, ReaderKind::kUring);
  EXPECT_EQ(parse({{"io", "auto"}})->io, ReaderKind::kAuto);
  EXPECT_EQ(parse({{"placement", "interleave"}})->order, LayerOrder::kInterleave);
  for (const char* yes : {"1", "on", "true"}) EXPECT_TRUE(parse({{"summary", yes}})->summary);
  for (const char* no : {"0", "off", "false"}) EXPECT_FALSE(parse({{"summary", no}})->summary);
}

TEST(Options, AMalformedValueNamesItsVariable) {
  const std::vector<std::pair<std::string, std::string>> refused = {
      {"preset", "huge"},        {"preset", "Balanced"},       {"resident", "-1"},
      {"resident", "3.5"},       {"resident", "4294967296"},   {"resident", "all"},
      {"resident", ""},          {"resident", "7 "},           {"device_budget", "lots"},
      {"device_budget", "0"},    {"device_budget", "120%"},    {"device_budget", "-1GiB"},
      {"host_budget", "x"},      {"host_budget", "50%"},       {"ring", "64 monkeys"},
      {"experts", "1e9"},        {"placement", "head"},        {"io", "mmap"},
      {"exact", "perhaps"},      {"summary", "2"},             {"kv", "disk"},
      {"ring", "99999999999999999999"}};
  for (const auto& [name, value] : refused) {
    const auto options = parse({{name, value}});
    ASSERT_FALSE(options) << name << " = " << value;
    EXPECT_EQ(options.error().code, Code::kUsage);
    std::string variable = "GANTRY_STREAM_";
    for (const char c : name) variable += static_cast<char>(std::toupper(c));
    EXPECT_EQ(options.error().message, variable + " is \"" + value + "\"");
    EXPECT_EQ(options.error().remedy.substr(0, 4), "use ") << options.error().remedy;
  }
}

TEST(Options, PresetsScaleWithTheDepth) {
  const auto counts = [](uint32_t depth) {
    std::vector<uint32_t> out;
    for (const auto preset : {Preset::kLight, Preset::kModerate, Preset::kBalanced,
                              Preset::kAggressive, Preset::kExtreme}) {
      out.push_back(preset_layers(preset, depth));
    }
    return out;
  };
  using Counts = std::vector<uint32_t>;
  EXPECT_EQ(counts(28), (Counts{20, 16, 12, 8, 4}));
  EXPECT_EQ(counts(32), (Counts{23, 18, 14, 9, 5}));
  EXPECT_EQ(counts(40), (Counts{29, 23, 17, 11, 6}));
  EXPECT_EQ(counts(56), (Counts{40, 32, 24, 16, 8}));
  EXPECT_EQ(counts(1), (Counts{1, 1, 0, 0, 0}));
  EXPECT_EQ(counts(0), (Counts{0, 0, 0, 0, 0}));
  for (const auto preset : {Preset::kAuto, Preset::kWhole}) {
    EXPECT_EQ(preset_layers(preset, 33), 33u);
  }
}

TEST(Options, PresetsHaveNamesAndAliases) {
  for (const auto preset : {Preset::kAuto, Preset::kWhole, Preset::kLight, Preset::kModerate,
                            Preset::kBalanced, Preset::kAggressive, Preset::kExtreme}) {
    EXPECT_EQ(preset_from_name(preset_name(preset)), preset);
  }
  EXPECT_EQ(preset_from_name("workstation"), Preset::kLight);
  EXPECT_EQ(preset_from_name("high_end"), Preset::kModerate);
  EXPECT_EQ(preset_from_name("consumer"), Preset::kBalanced);
  EXPECT_EQ(preset_from_name("budget"), Preset::kAggressive);
  EXPECT_EQ(preset_from_name("minimal"), Preset::kExtreme);
  EXPECT_EQ(preset_from_name(""), std::nullopt);
}

TEST(OptionFile, LinesCommentsAndBlanks) {
  const auto lines = parse_option_file(
      "# how to stream\n\n  preset =\tbalanced  # of 28\r\nring=64MiB\nstats = /tmp/a = b\n"
      "ring = 32MiB\n trace =\n");
  ASSERT_TRUE(lines) << describe(lines.error());
  EXPECT_EQ((*lines)("preset"), "balanced");
  EXPECT_EQ((*lines)("ring"), "32MiB") << "the last one counts";
  EXPECT_EQ((*lines)("stats"), "/tmp/a = b");
  EXPECT_EQ((*lines)("trace"), "");
  EXPECT_EQ((*lines)("inner"), std::nullopt);
  EXPECT_TRUE(parse_option_file(""));
}

TEST(OptionFile, WhatItRefusesNamesTheLine) {
  for (const char* text : {"ring 64MiB", "\nring", "rings = 1", "= 1", "config = other",
                           "GANTRY_STREAM_RING = 1", "Ring = 1"}) {
    const auto lines = parse_option_file(text);
    ASSERT_FALSE(lines) << text;
    EXPECT_EQ(lines.error().code, Code::kUsage);
    const std::string line = text[0] == '\n' ? "line 2" : "line 1";
    EXPECT_NE(lines.error().message.find(line), std::string::npos) << lines.error().message;
  }
}

// Sets variables for one test, and unsets them.
class Environment : public testing::Test {
 protected:
  ~Environment() override {
    for (const auto& name : set_) ::unsetenv(name.c_str());
    std::filesystem::remove(path_);
  }
  void set(const std::string& name, const std::string& value) {
    set_.push_back("GANTRY_STREAM_" + name);
    ::setenv(set_.back().c_str(), value.c_str(), 1);
  }
  void write(const std::string& text) { std::ofstream(path_, std::ios::binary) << text; }

  std::vector<std::string> set_;
  std::string path_ = (std::filesystem::temp_directory_path() /
                       ("gantry-options-" + std::to_string(::getpid()))).string();
};

TEST_F(Environment, VariablesGoOverTheFile) {
  write("preset = extreme\nring = 64MiB\ninner = CPU\n");
  set("CONFIG", path_);
  set("RING", "32MiB");
  set("INNER", "");  // empty: not said
  set("DEVICE_BUDGET", "1GiB");
  const auto options = options_from_environment();
  ASSERT_TRUE(options) << describe(options.error());
  EXPECT_EQ(options->preset, Preset::kExtreme);
  EXPECT_EQ(options->ring, MiB(32));
  EXPECT_EQ(options->inner, "CPU");
  EXPECT_EQ(options->device_budget->of(GiB(2)), GiB(1));
}

TEST_F(Environment, AMalformedVariableIsRefused) {
  set("PRESET", "none");
  const auto options = options_from_environment();
  ASSERT_FALSE(options);
  EXPECT_NE(options.error().message.find("GANTRY_STREAM_PRESET"), std::string::npos);
}

TEST_F(Environment, AFileThatCannotBeUsedIsNamed) {
  set("CONFIG", path_);
  EXPECT_EQ(options_from_environment().error().code, Code::kNotFound);
  set("CONFIG", std::filesystem::temp_directory_path().string());
  ASSERT_FALSE(options_from_environment()) << "a folder";
  set("CONFIG", path_);
  write("ring 1");
  EXPECT_EQ(options_from_environment().error().code, Code::kUsage);
  write("#" + std::string((64 << 10) - 1, 'x'));
  EXPECT_TRUE(options_from_environment());
  write("#" + std::string(64 << 10, 'x'));
  EXPECT_EQ(options_from_environment().error().code, Code::kTooLarge);
}

}  // namespace
}  // namespace gantry
