// Tests of the layers, the catalogue and secrets.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/fake_os.h"
#include "config/config.h"

namespace gantry {
namespace {

// A user with a home and nothing else.
class Load : public testing::Test {
 protected:
  Load() {
    os.environment["HOME"] = "/u";
    os.exe = "/opt/gantry/build/bin/gantry";
  }
  Config load(const std::string& file = {}, const std::map<std::string, std::string>& flags = {}) {
    auto config = load_config(os, file, flags);
    EXPECT_TRUE(config) << config.error().message;
    return config ? *config : Config();
  }
  Error error_of(const std::string& file = {},
                 const std::map<std::string, std::string>& flags = {}) {
    auto config = load_config(os, file, flags);
    return config ? Error{Code::kInternal, "it was accepted"} : config.error();
  }

  FakeOs os;
};

TEST_F(Load, DefaultsWithoutAnyFile) {
  const Config config = load();
  EXPECT_EQ(config.listen, "127.0.0.1:8484");
  EXPECT_EQ(config.state_dir, "/u/.local/state/gantry");
  EXPECT_EQ(config.models_dir, "");
  EXPECT_TRUE(config.models.empty());
  os.environment["XDG_STATE_HOME"] = "/state";
  EXPECT_EQ(load().state_dir, "/state/gantry");
  os.environment.clear();
  EXPECT_EQ(load().state_dir, "/var/lib/gantry");
}

TEST_F(Load, EachLayerCoversTheOneBelow) {
  os.files["/usr/share/gantry/config.yaml"] = "linger_s: 1\nidle_unload_s: 1\nlisten: a:1\n"
                                              "models: {m: {cmd: share}, n: {cmd: share}}\n";
  EXPECT_EQ(load().linger_s, 1U);
  os.files["/etc/gantry/config.yaml"] = "linger_s: 2\nmodels: {m: {cmd: etc}}\n";
  EXPECT_EQ(load().linger_s, 2U);
  EXPECT_EQ(load().idle_unload_s, 1U);
  os.files["/u/.config/gantry/config.yaml"] = "linger_s: 3\nmodels: {o: {cmd: user}}\n";
  const Config config = load();
  EXPECT_EQ(config.linger_s, 3U);
  ASSERT_EQ(config.models.size(), 3U);
  EXPECT_EQ(config.models[0].cmd, "etc");
  EXPECT_EQ(config.models[1].cmd, "share");
  os.files["/given.yaml"] = "linger_s: 4\n";
  EXPECT_EQ(load("/given.yaml").linger_s, 4U);
  EXPECT_EQ(load("/given.yaml").models.size(), 2U);  // in the place of the user's file
  os.environment["GANTRY_LINGER_S"] = "5";
  EXPECT_EQ(load("/given.yaml").linger_s, 5U);
  EXPECT_EQ(load("/given.yaml", {{"linger_s", "6"}}).linger_s, 6U);
  os.environment["XDG_CONFIG_HOME"] = "/nowhere";
  EXPECT_EQ(load().models.size(), 2U);
}

TEST_F(Load, EnvironmentAndFlagsAreChecked) {
  os.environment["GANTRY_RAM_BUDGET"] = "0";
  EXPECT_EQ(error_of().code, Code::kUsage);
  EXPECT_TRUE(error_of().message.starts_with("GANTRY_RAM_BUDGET: ")) << error_of().message;
  os.environment["GANTRY_RAM_BUDGET"] = "50%";
  os.environment["GANTRY_ALLOWED_HOSTS"] = "a,b,";
  EXPECT_EQ(load().ram_budget->fraction, 0.5);
  EXPECT_EQ(load().allowed_hosts, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(error_of({}, {{"vram_budget", "-3GiB"}}).message.starts_with("--vram-budget: "));
  EXPECT_EQ(error_of({}, {{"nonsense", "1"}}).code, Code::kUsage);
  EXPECT_EQ(error_of({}, {{"models", "1"}}).code, Code::kUsage);
  EXPECT_EQ(error_of({}, {{"api_key", "1"}}).code, Code::kUsage);
}

TEST_F(Load, MissingAndUnreadableFiles) {
  EXPECT_EQ(error_of("/absent.yaml").code, Code::kNotFound);
  os.files["/etc/gantry/config.yaml"] = "linger_s: [\n";
  EXPECT_EQ(error_of().code, Code::kCorrupt);
  EXPECT_TRUE(error_of().message.starts_with("/etc/gantry/config.yaml:"));
  os.files["/etc/gantry/config.yaml"] = "";
  os.fail_at(1, {Code::kPermission, "no"});
  EXPECT_EQ(error_of().code, Code::kPermission);
}

TEST_F(Load, CatalogueLiesAboveOrBesideTheProgram) {
  os.files["/opt/gantry/share/gantry/models/catalogue.json"] = "[]";
  os.exe = "/opt/gantry/bin/gantry";
  EXPECT_EQ(load().models_dir, "/opt/gantry/share/gantry/models");
  os.exe = "/opt/gantry/build/bin/gantry";
  EXPECT_EQ(load().models_dir, "");
  os.files["/opt/gantry/models/catalogue.json"] =
      R"([{"name": "a", "kind": "vision", "file": "a.gguf", "mmproj": "p.gguf", "context": 512},
          {"name": "b", "kind": "speech", "file": "b.bin", "window_ms": 4000}])";
  const Config config = load();
  EXPECT_EQ(config.models_dir, "/opt/gantry/models");
  ASSERT_EQ(config.models.size(), 2U);
  EXPECT_EQ(config.models[0].file, "/opt/gantry/models/a.gguf");
  EXPECT_EQ(config.models[0].mmproj, "/opt/gantry/models/p.gguf");
  EXPECT_EQ(config.models[0].context, 512U);
  EXPECT_EQ(config.models[1].kind, "speech");
  os.environment["GANTRY_MODELS_DIR"] = "/other";
  EXPECT_TRUE(load().models.empty());
}

TEST_F(Load, ShippedModelsGiveWay) {
  os.files["/m/catalogue.json"] = R"([{"name": "a", "file": "a"}, {"name": "b", "file": "b"}])";
  os.environment["GANTRY_MODELS_DIR"] = "/m";
  os.files["/c.yaml"] = "models: {b: {file: mine}, c: {file: c, aliases: [a]}}\n";
  const Config config = load("/c.yaml");
  ASSERT_EQ(config.models.size(), 2U);
  EXPECT_EQ(config.models[0].file, "/mine");
}

TEST_F(Load, BadCatalogues) {
  os.environment["GANTRY_MODELS_DIR"] = "/m";
  for (const char* text : {"", "{}", "[1]", "[{}]", R"([{"name": "a"}])", "[{\"name\": \"a",
                           R"([{"name": "a", "file": "x", "context": -1}])",
                           R"([{"name": "a", "file": "x", "context": 99999999999}])"}) {
    os.files["/m/catalogue.json"] = text;
    EXPECT_EQ(error_of().code, Code::kCorrupt) << text;
  }
}

TEST_F(Load, HomeAndEnvironmentInModels) {
  os.files["/c.yaml"] =
      "models:\n  a: {file: ~/a.gguf}\n"
      "  b: {cmd: \"x ${env.WHERE} ${PORT}\", env: ['A=${env.WHERE}']}\n";
  EXPECT_EQ(error_of("/c.yaml").code, Code::kUsage);
  os.environment["WHERE"] = "${env.WHERE}";  // a value is not looked into again
  const Config config = load("/c.yaml");
  EXPECT_EQ(config.models[0].file, "/u/a.gguf");
  EXPECT_EQ(config.models[1].cmd, "x ${env.WHERE} ${PORT}");
  EXPECT_EQ(config.models[1].env[0].second, "${env.WHERE}");
}

TEST_F(Load, AliasesAcrossLayersAreUnique) {
  os.files["/etc/gantry/config.yaml"] = "models: {a: {cmd: x, aliases: [z]}}\n";
  os.files["/c.yaml"] = "models: {b: {cmd: x, aliases: [z]}}\n";
  EXPECT_EQ(error_of("/c.yaml").code, Code::kUsage);
}

TEST_F(Load, KeyFromEnvironmentOrFile) {
  os.files["/key"] = "abc123\n";
  os.environment["GANTRY_API_KEY_FILE"] = "/key";
  EXPECT_EQ(load().api_key, "abc123");
  os.environment["GANTRY_API_KEY"] = "from-env";
  EXPECT_EQ(load().api_key, "from-env");
  os.environment.erase("GANTRY_API_KEY");
  for (const char* text : {"", "\n", "a b\n", "\x01\n"}) {
    os.files["/key"] = text;
    EXPECT_EQ(error_of().code, Code::kCorrupt);
  }
  os.files["/key"] = std::string(5000, 'x');
  EXPECT_EQ(error_of().code, Code::kTooLarge);
  os.files.erase("/key");
  EXPECT_EQ(error_of().code, Code::kNotFound);
}

TEST(LoadReal, KeyFileThatOthersMayReadIsRefused) {
  const auto os = make_real_os();
  const auto dir = std::filesystem::temp_directory_path() /
                   ("gantry-config-test-" + std::to_string(getpid()));
  const std::string key = (dir / "key").string();
  const std::string config = (dir / "c.yaml").string();
  ASSERT_TRUE(os->make_dirs(dir.string(), 0700));
  ASSERT_TRUE(os->write_file(key, "secret\n", 0600));
  ASSERT_TRUE(os->write_file(config, "api_key_file: key\n", 0644));
  const auto good = load_config(*os, config, {});
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(good->api_key, "secret");
  ASSERT_EQ(chmod(key.c_str(), 0640), 0);
  const auto open = load_config(*os, config, {});
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().code, Code::kPermission);
  EXPECT_EQ(open.error().remedy, "chmod 600 " + key);
  ASSERT_TRUE(os->remove(dir.string()));
}

TEST_F(Load, WhoAnswersElsewhereIsARelay) {
  const std::string relay = "far: {cmd: 'gantry-relay --listen 127.0.0.1:${PORT}'}";
  const auto with = [&](const std::string& rest) {
    os.files["/etc/gantry/config.yaml"] =
        "models: {m: {cmd: x, cloud: far}, " + relay + "}\n" + rest;
    return load_config(os, "", {});
  };
  ASSERT_TRUE(with("")) << with("").error().message;
  EXPECT_EQ(with("")->models[0].cloud, std::vector<std::string>{"far"});
  EXPECT_FALSE(with("")->cloud_allow);
  EXPECT_EQ(with("cloud_allow: []\ncloud_deny: [m]\n")->cloud_allow->size(), 0U);
  EXPECT_EQ(with("cloud_deny: [nobody]\n").error().code, Code::kUsage);
  os.files["/etc/gantry/config.yaml"] =
      "models: {m: {file: x, kind: speech, cloud: far}, " + relay + "}\n";
  EXPECT_NE(load_config(os, "", {}).error().message.find("speech"), std::string::npos);
  os.files["/etc/gantry/config.yaml"] = "models: {m: {cmd: x, cloud: [n]}, n: {cmd: y}}\n";
  EXPECT_NE(load_config(os, "", {}).error().message.find("no relay"), std::string::npos);
  os.files["/etc/gantry/config.yaml"] =
      "models: {m: {cmd: x, cloud: far, shortage: [cloud, cpu]}, " + relay + "}\n";
  EXPECT_NE(load_config(os, "", {}).error().message.find("after cloud"), std::string::npos);
  os.files["/etc/gantry/config.yaml"] = "models: {m: {cmd: gantry-relay, cloud: [m]}}\n";
  EXPECT_EQ(load_config(os, "", {}).error().code, Code::kUsage);
}

}  // namespace
}  // namespace gantry
