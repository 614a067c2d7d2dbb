// Tests of whole files: ours, llama-swap's, and every kind of mistake with its place.
#include "config/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/limits.h"
#include "base/rng.h"

namespace gantry {
namespace {

std::string slurp(const std::string& name) {
  std::ifstream file(std::string(GANTRY_CONFIG_TESTDATA) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Error error_of(const std::string& text) {
  const auto config = parse_config(text, "dir/f.yaml");
  return config ? Error{Code::kInternal, "it was accepted"} : config.error();
}

TEST(Config, OurKeys) {
  const auto config = parse_config(slurp("gantry.yaml"), "/etc/x/gantry.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->listen, "127.0.0.1:9191");
  EXPECT_EQ(config->state_dir, "/etc/x/state");
  EXPECT_EQ(config->models_dir, "/etc/x/shipped");
  EXPECT_EQ(config->ram_budget->bytes, GiB(6));
  EXPECT_EQ(config->vram_budget->fraction, 0.8);
  EXPECT_EQ(config->allowed_hosts, std::vector<std::string>{"gantry.lan"});
  EXPECT_EQ(config->idle_unload_s, 60U);
  EXPECT_EQ(config->linger_s, 5U);
  EXPECT_TRUE(config->api_key.empty());
  ASSERT_EQ(config->models.size(), 3U);
  const ModelConfig& writer = config->models[0];
  EXPECT_EQ(writer.file, "/etc/x/writer-q4_k_m.gguf");
  EXPECT_EQ(writer.context, 8192U);
  EXPECT_EQ(writer.parallel, 2U);
  EXPECT_EQ(writer.cache_k, CacheType::kQ8_0);
  EXPECT_EQ(writer.ttl_s, 0U);
  EXPECT_EQ(config->models[1].file, "~/models/watcher.gguf");
  EXPECT_EQ(config->models[1].mmproj, "/srv/models/watcher-mmproj.gguf");
  EXPECT_EQ(config->models[2].cmd, "speak-server --port ${PORT} --voices ${env.VOICES}");
  EXPECT_EQ(config->models[2].memory, Bytes{2684354560});
  ASSERT_EQ(config->models[2].env.size(), 1U);
  EXPECT_EQ(config->models[2].env[0].second, "2");
  const auto warnings = check_config(slurp("gantry.yaml"), "f");
  ASSERT_TRUE(warnings);
  EXPECT_TRUE(warnings->empty());
}

TEST(Config, DraftAndAdaptersLieBesideTheModel) {
  const auto config = parse_config(
      "models:\n  a: {file: a.gguf, draft: d.gguf, lora: [x.gguf, /y.gguf]}\n", "/etc/x/f.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->models[0].draft, "/etc/x/d.gguf");
  EXPECT_EQ(config->models[0].lora, (std::vector<std::string>{"/etc/x/x.gguf", "/y.gguf"}));
}

TEST(Config, LlamaSwapFileLoadsAsItStands) {
  const auto config = parse_config(slurp("llama-swap.yaml"), "f");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->models.size(), 3U);
  const ModelConfig& chat = config->models[0];
  EXPECT_EQ(chat.cmd,
            "llama-server --port ${PORT} --host 127.0.0.1\n"
            "-m /srv/models/house-chat-8b-q4_k_m.gguf\n-c 4096 --alias house-chat\n");
  EXPECT_EQ(chat.proxy, "http://127.0.0.1:${PORT}");
  EXPECT_EQ(chat.aliases, (std::vector<std::string>{"chat", "gpt-4o-mini"}));
  EXPECT_EQ(chat.ttl_s, 300U);
  const ModelConfig& eyes = config->models[1];
  EXPECT_NE(eyes.cmd.find("--mmproj /srv/models/eyes-mmproj-f16.gguf"), std::string::npos);
  EXPECT_EQ(eyes.check_endpoint, "/ready");
  ASSERT_EQ(eyes.env.size(), 2U);
  EXPECT_EQ(eyes.env[0], (std::pair<std::string, std::string>{"OMP_NUM_THREADS", "2"}));
  EXPECT_EQ(config->models[2].ttl_s, std::nullopt);
  EXPECT_EQ(config->idle_unload_s, 900U);
  ASSERT_EQ(config->groups.size(), 2U);
  EXPECT_FALSE(config->groups[0].swap);
  EXPECT_FALSE(config->groups[0].exclusive);
  EXPECT_TRUE(config->groups[1].persistent);
  EXPECT_EQ(config->groups[1].members, std::vector<std::string>{"house-chat"});
}

TEST(Config, KnownKeysWithoutEffectAreWarnings) {
  const auto warnings = check_config(slurp("llama-swap.yaml"), "f");
  ASSERT_TRUE(warnings) << warnings.error().message;
  std::map<std::string, std::string> by_text;
  for (const ConfigWarning& warning : *warnings) by_text[warning.text] = warning.where;
  EXPECT_EQ(by_text["\"healthCheckTimeout\" has no effect here"], "f:2:1");
  EXPECT_EQ(by_text["\"filters\" has no effect here"], "f:24:5");
  EXPECT_TRUE(by_text.contains("\"profiles\" has no effect here"));
  EXPECT_FALSE(by_text.contains("\"macros\" has no effect here"));
}

TEST(Config, EveryMistakeNamesItsPlaceAndRemedy) {
  struct Case {
    const char* text;
    const char* message;
    const char* remedy;
  };
  const Case cases[] = {
      {"listn: a\n", "1:1: unknown key \"listn\"", "did you mean \"listen\"?"},
      {"ram-budget: 1GiB\n", "1:1: unknown key \"ram-budget\"", "did you mean \"ram_budget\"?"},
      {"models:\n  a:\n    file: x\n    contxt: 5\n", "4:5: unknown key \"contxt\"",
       "did you mean \"context\"?"},
      {"stream: fast\n", "1:9: \"fast\" is no way to stream",
       "auto, off, light, moderate, balanced, aggressive, extreme, or the number of layers that "
       "stay"},
      {"a: 1\nlisten: 80\n", "1:1: unknown key \"a\"", "see `gantry config schema` for the keys"},
      {"listen: 80\n", "1:9: \"80\" is no HOST:PORT", "for example 127.0.0.1:8484"},
      {"listen: h:70000\n", "1:9: \"h:70000\" is no HOST:PORT", "for example 127.0.0.1:8484"},
      {"api_key: s3cret\n", "1:10: a secret in the config file", nullptr},
      {"idle_unload_s: -1\n", "1:16: want a whole number from 0 to 4294967295", ""},
      {"idle_unload_s: \"5\"\n", "1:16: want a whole number from 0 to 4294967295", ""},
      {"idle_unload_s: 5.5\n", "1:16: want a whole number from 0 to 4294967295", ""},
      {"allowed_hosts: x\n", "1:16: want a list, found a word", nullptr},
      {"models: [a]\n", "1:9: want a map, found a list", nullptr},
      {"models:\n  a: 5\n", "2:6: want a map, found a word", nullptr},
      {"models:\n  a: {}\n", "2:3: model \"a\" needs either file or cmd", "add file: PATH"},
      {"models:\n  a: {file: x, cmd: y}\n", "2:3: model \"a\" needs either file or cmd", nullptr},
      {"models:\n  a: {file: x, kind: poem}\n", "2:22: unknown kind \"poem\"", nullptr},
      {"models:\n  a: {cmd: x, draft: d}\n", "2:3: draft without file", nullptr},
      {"models:\n  a: {cmd: x, lora: [d]}\n", "2:3: lora without file", nullptr},
      {"models:\n  a: {file: x, lora: d}\n", "2:22: want a list, found a word", nullptr},
      {"models:\n  a: {file: x, lora: [a,a,a,a,a,a,a,a,a]}\n", "2:22: at most 8 adapters", nullptr},
      {"models:\n  a: {file: x, context: 0}\n", "2:25: want a whole number from 1 to 16777216", ""},
      {"models:\n  a: {cmd: x, ttl: -2}\n", "2:20: want a whole number from 0 to 4294967295", ""},
      {"models:\n  a: {cmd: x, env: [A]}\n", "2:21: want NAME=VALUE", ""},
      {"models:\n  a: {cmd: \"x ${prot}\"}\n", "2:12: unknown macro ${prot}",
       "did you mean ${PORT}?"},
      {"macros: {PORT: 5}\n", "1:10: ${PORT} is set by gantry", "choose another name"},
      {"macros: {\"a b\": 5}\n",
       "1:10: a macro's name has at most 64 letters, digits, _ and -", ""},
      {"models:\n  a: {cmd: x, aliases: [b]}\n  b: {cmd: x}\n",
       "2:25: \"b\" already names model \"b\"", nullptr},
      {"models:\n  \"a b\": {cmd: x}\n",
       "2:3: a model's name has 1 to 128 characters without blanks", ""},
      {"groups:\n  g: {swap: maybe}\n", "2:13: want true or false", ""},
      {"models:\n  a: {cmd: x}\ngroups:\n  g: {members: [a]}\n  h: {members: [a]}\n",
       "5:17: \"a\" is already in group \"g\"", ""},
      {"listen: a:1\nlisten: b:2\n", "2:1: duplicate key \"listen\"",
       "it is already given in line 1"},
      {"models:\n\ta: {}\n", "2:1: a tab at the start of a line", "indent with spaces"},
  };
  for (const Case& c : cases) {
    const Error error = error_of(c.text);
    EXPECT_EQ(error.code, Code::kCorrupt) << c.text;
    EXPECT_EQ(error.message, std::string("dir/f.yaml:") + c.message) << c.text;
    if (c.remedy != nullptr) {
      EXPECT_EQ(error.remedy, c.remedy) << c.text;
    }
    const auto checked = check_config(c.text, "dir/f.yaml");
    ASSERT_FALSE(checked) << c.text;
    EXPECT_EQ(checked.error().message, error.message);
  }
}

TEST(Config, BudgetsAreChecked) {
  for (const char* text : {"0", "-1", "0%", "101%", "many", "1e9GiB"}) {
    const Error error = error_of(std::string("ram_budget: ") + text + "\n");
    EXPECT_TRUE(error.message.starts_with("dir/f.yaml:1:13: ")) << text << ": " << error.message;
  }
}

TEST(Config, GroupMembersOfOtherFilesAreOnlyDoubted) {
  const auto warnings = check_config("groups:\n  g: {members: [elsewhere]}\n", "f");
  ASSERT_TRUE(warnings);
  ASSERT_EQ(warnings->size(), 1U);
  EXPECT_EQ(warnings->front().where, "f:2:17");
}

TEST(Config, MacroBombIsRefused) {
  std::string text = "macros:\n  m0: \"xxxxxxxxxxxxxxxx\"\n";
  for (int i = 1; i < 40; ++i) {
    const std::string below = "${m" + std::to_string(i - 1) + "}";
    text += "  m" + std::to_string(i) + ": \"";
    for (int j = 0; j < 10; ++j) text += below;
    text += "\"\n";
  }
  EXPECT_EQ(error_of(text).code, Code::kTooLarge);
}

TEST(Config, ModelsAtTheLimitAndOneOver) {
  std::string text = "models:\n";
  for (uint32_t i = 0; i < kModelsMax; ++i) {
    text += "  m" + std::to_string(i) + ": {cmd: x}\n";
  }
  EXPECT_TRUE(parse_config(text, "f"));
  EXPECT_EQ(error_of(text + "  one-more: {cmd: x}\n").code, Code::kTooLarge);
}

TEST(Config, EveryTruncationIsAnswered) {
  const std::string text = slurp("llama-swap.yaml");
  ASSERT_GT(text.size(), 500U);
  for (size_t n = 0; n < text.size(); n += 3) {
    const auto config = parse_config(text.substr(0, n), "f");
    if (!config) {
      EXPECT_TRUE(config.error().message.starts_with("f")) << config.error().message;
    }
  }
}

// Bytes of the file replaced, removed, doubled: an answer every time, with a place in the file.
TEST(Config, MutatedFilesAreAnswered) {
  const uint64_t seed = 7;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  const std::string files[] = {slurp("llama-swap.yaml"), slurp("gantry.yaml")};
  const std::string_view splices[] = {"\n", ": ", "- ", "{", "}", "[", "]", "&a ", "*a", "<<: *a",
                                      "\"", "'", "|", ">", "?", "!!x ", "#", "\t", "${", "\xFF"};
  size_t refused = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string text = files[i % 2];
    for (uint64_t n = 1 + rng.below(4); n > 0; --n) {
      const size_t at = rng.below(text.size());
      const uint64_t how = rng.below(3);
      if (how == 0) text.erase(at, 1 + rng.below(30));
      if (how == 1) text.insert(at, splices[rng.below(std::size(splices))]);
      if (how == 2) text.insert(at, text.substr(rng.below(text.size()), rng.below(200)));
    }
    const auto config = parse_config(text, "f");
    if (config) continue;
    ++refused;
    EXPECT_TRUE(config.error().message.starts_with("f:")) << i << config.error().message;
  }
  EXPECT_GT(refused, 300U);
}

}  // namespace
}  // namespace gantry
