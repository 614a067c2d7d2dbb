// Several cards that are not here, through the code that drives real ones: audit, plan, the flags
// that a worker gives its engine, and the stock engine itself, which tells what it would hold.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "lab/plan/differ.h"
#include "plan/need.h"
#include "plan/place.h"
#include "plan/slice.h"
#include "worker/llama.h"
#include "worker/worker.h"

namespace gantry {
namespace {

constexpr const char* kCards = "12GiB,8GiB,6GiB";

// The most that each card was asked to hold, from what the plugin says in the engine's log.
std::map<std::string, uint64_t> held(const std::string& log) {
  std::ifstream in(log);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  std::map<std::string, uint64_t> out;
  constexpr std::string_view kLine = "phantom: ", kHolds = " holds ";
  for (size_t at = text.find(kLine); at != std::string::npos; at = text.find(kLine, at + 1)) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at + kLine.size(), end - at - kLine.size());
    const size_t middle = line.find(kHolds);
    if (middle == std::string::npos) continue;
    uint64_t& most = out[line.substr(0, middle)];
    most = std::max<uint64_t>(most, std::stoull(line.substr(middle + kHolds.size())));
  }
  return out;
}

class Several : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = (std::filesystem::temp_directory_path() / "severalXXXXXX").string();
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
    context_ = {dir_, dir_, GANTRY_ENGINE_DIR, GANTRY_WORKER, nullptr};
    paths_ = {GANTRY_WORKER, GANTRY_PHANTOM_PLUGIN, dir_};
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  // Loads the model as gantryd would, has it begin to answer (it cannot), and compares what the
  // engine asked of each card with the plan.
  void compare(const Wish& wish, const std::string& file, const Placement& placement) {
    WorkerSpec spec;
    spec.model = "m";
    spec.file = file;
    spec.placement = placement;
    spec.parallel = wish.parallel;
    spec.ubatch = wish.ubatch;
    spec.flash_attention = wish.flash_attention;
    spec.cache_k = wish.cache_k;
    spec.cache_v = wish.cache_v;
    for (size_t i = 0; i + 1 < placement.needs.size(); ++i) {
      spec.devices.push_back("Phantom" + placement.needs[i].device.substr(3));  // "gpu0"
    }
    spec.env = {{"GGML_BACKEND_PATH", GANTRY_PHANTOM_PLUGIN},
                {"GANTRY_PHANTOM", kCards},
                {"LLAMA_ARG_LOG_VERBOSITY", "4"}};  // what backends say
    const std::unique_ptr<Os> os = make_real_os();
    auto worker = start_worker(*os, context_, spec);
    ASSERT_TRUE(worker) << describe(worker.error());
    const http::Cancel cancel{false};
    const Result<void> ready = (*worker)->ready(cancel);
    ASSERT_TRUE(ready) << describe(ready.error());
    nlohmann::json prompt = {{"prompt", std::vector<int>(3 * wish.ubatch / 2, 7)},
                             {"n_predict", 1}};
    (void)http::fetch((*worker)->address(),
                      {.method = "POST", .target = "/completion", .body = prompt.dump()}, {});
    (*worker)->stop();
    const auto found = held(worker_log_path(dir_, "m"));
    for (size_t i = 0; i + 1 < placement.needs.size(); ++i) {
      const Need& need = placement.needs[i];
      const auto engine = found.find(spec.devices[i]);
      ASSERT_NE(engine, found.end()) << "nothing is on " << spec.devices[i];
      const uint64_t formula = (need.weights + need.kv + need.compute).n;
      EXPECT_TRUE((Difference{need.device, "all", formula, engine->second}.within()))
          << file << fmt::format(" on {}: {:.2f} MiB planned, {:.2f} asked for", need.device,
                                 double(formula) / (1 << 20), double(engine->second) / (1 << 20));
    }
    std::filesystem::remove(worker_log_path(dir_, "m"));
  }

  std::string dir_;
  WorkerContext context_;
  DifferPaths paths_;
};

struct Model {
  const char* shape;
  uint32_t layers, embd, ff, heads, kv_heads, vocab;
  const char* quant = "Q4_K_M";
  bool tied = false;
  CacheType cache = CacheType::kF16;
};

constexpr Model kModels[] = {
    {"llama", 5, 4096, 14336, 32, 8, 32000},
    {"llama", 5, 2048, 5632, 32, 4, 32000, "Q8_0", false, CacheType::kQ8_0},
    {"qwen2", 5, 3584, 18944, 28, 4, 50000},
    {"qwen3", 5, 2560, 9728, 32, 8, 50000, "Q4_K_M", true},
    {"qwen3moe", 5, 2048, 768, 32, 4, 50000},
    {"gemma2", 6, 2304, 9216, 8, 4, 50000, "Q4_K_M", true},
    {"gemma", 8, 2560, 10240, 8, 4, 50000, "Q4_0", true},
    {"phi2", 5, 2560, 10240, 32, 32, 51200, "Q5_K_M"},
    {"phi", 5, 3072, 8192, 32, 32, 32064, "Q6_K"},
    {"granite", 5, 2048, 8192, 32, 8, 49152, "Q4_K_M", true},
};

// Shares that are even, that round, and of three.
TEST_F(Several, TensorsAreWhereTheEngineCutsThem) {
  size_t compared = 0;
  for (const Model& model : kModels) {
    SynthWish synth;
    synth.shape = model.shape;
    synth.layers = model.layers;
    synth.embd = model.embd;
    synth.ff = model.ff;
    synth.heads = model.heads;
    synth.kv_heads = model.kv_heads;
    synth.vocab = model.vocab;
    synth.context = 32768;
    synth.quant = model.quant;
    synth.tied = model.tied;
    const auto file = sparse_model(paths_, synth);
    ASSERT_TRUE(file) << describe(file.error());
    Configuration configuration{.context = 4096, .ubatch = 256, .flash = true};
    configuration.cache_k = configuration.cache_v = model.cache;
    const auto wish = wish_of(*file, configuration);
    ASSERT_TRUE(wish) << describe(wish.error());
    ASSERT_TRUE(can_slice(*wish)) << model.shape;
    Slicing slicing(*wish);
    const std::vector<std::vector<uint32_t>> all = {{5, 3}, {4, 2, 2}};
    for (const std::vector<uint32_t>& shares : all) {
      Placement placement;
      for (size_t i = 0; i < shares.size(); ++i) {
        placement.splits.push_back({"gpu" + std::to_string(i), model.layers, shares[i]});
      }
      placement.context = 4096;
      placement.split_mode = SplitMode::kTensor;
      placement.layers.resident = model.layers;
      const auto needs = slicing.needs(placement.splits);
      if (!needs) continue;  // too few heads
      placement.needs = *needs;
      compare(*wish, *file, placement);
      if (HasFatalFailure()) return;
      ++compared;
    }
    std::filesystem::remove(*file);
  }
  EXPECT_GE(compared, 15U);
}

TEST_F(Several, LayersOverUnequalCardsAreWhereThePlanSays) {
  const std::unique_ptr<Os> os = make_real_os();
  ::setenv("GGML_BACKEND_PATH", GANTRY_PHANTOM_PLUGIN, 1);
  ::setenv("GANTRY_PHANTOM", "12GiB,8GiB", 1);
  AuditOptions options;
  options.models_dir = dir_;
  options.worker_exe = GANTRY_WORKER;
  const auto machine = audit(*os, options);
  ::unsetenv("GGML_BACKEND_PATH");
  ASSERT_TRUE(machine) << describe(machine.error());
  std::vector<Device> cards;
  for (const Device& device : machine->devices) {
    if (device.kind == DeviceKind::kGpu) cards.push_back(device);
  }
  ASSERT_EQ(cards.size(), 2U);
  EXPECT_EQ(cards[0].total, GiB(12));
  EXPECT_EQ(cards[1].total, GiB(8));
  SynthWish synth;
  synth.shape = "30b-a3b";  // 17 GiB
  synth.quant = "Q4_K_M";
  const auto file = sparse_model(paths_, synth);
  ASSERT_TRUE(file) << describe(file.error());
  const auto wish = wish_of(*file, {.context = 8192, .flash = true});
  ASSERT_TRUE(wish) << describe(wish.error());
  Demand demand;
  demand.wishes = {*wish};
  const auto made = plan(*machine, demand);
  ASSERT_TRUE(made) << describe(made.error());
  const Placement& placement = made->models[0];
  ASSERT_TRUE(made->fits) << placement.why;
  ASSERT_EQ(placement.splits.size(), 2U) << placement.why;
  EXPECT_GT(placement.splits[0].layers, placement.splits[1].layers);
  WorkerSpec spec;
  spec.model = "m";
  spec.file = *file;
  spec.placement = placement;
  spec.flash_attention = wish->flash_attention;
  for (const Device& card : cards) spec.devices.push_back(card.backend);
  const auto engine = run_json(fmt::format(
      "GANTRY_PHANTOM=12GiB,8GiB '{}' dry-run --plugin '{}' {}", GANTRY_WORKER,
      GANTRY_PHANTOM_PLUGIN, fmt::join(llama_memory_argv(spec), " ")));
  ASSERT_TRUE(engine) << describe(engine.error());
  for (size_t i = 0; i < 2; ++i) {
    const Need& need = placement.needs[i];
    const nlohmann::json& row = engine->at("devices").at(i);
    EXPECT_EQ(row.at("name"), cards[i].backend);
    const std::map<std::string, Bytes> kinds = {
        {"model", need.weights}, {"context", need.kv}, {"compute", need.compute}};
    for (const auto& [key, bytes] : kinds) {
      EXPECT_TRUE((Difference{need.device, key, bytes.n, row.at(key).get<uint64_t>()}.within()))
          << need.device << " " << key << ": " << bytes.n << " planned, " << row.at(key);
    }
  }
}

TEST_F(Several, SpeechIsOnTheCardOfThePlan) {
  WorkerSpec spec;
  spec.model = "asr";
  spec.engine = EngineKind::kWhisper;
  spec.file = std::string(GANTRY_MODELS_DIR) + "/micro-asr.bin";
  if (!std::filesystem::exists(spec.file)) GTEST_SKIP() << spec.file << " is not there";
  spec.placement.layers.resident = 8;
  spec.env = {{"GGML_BACKEND_PATH", GANTRY_PHANTOM_PLUGIN}, {"GANTRY_PHANTOM", kCards}};
  const std::unique_ptr<Os> os = make_real_os();
  for (const std::string name : {"Phantom1", "Phantom0"}) {
    spec.devices = {name};
    auto worker = start_worker(*os, context_, spec);
    ASSERT_TRUE(worker) << describe(worker.error());
    const http::Cancel cancel{false};
    const Result<void> ready = (*worker)->ready(cancel);
    ASSERT_TRUE(ready) << describe(ready.error());
    (*worker)->stop();
    const auto found = held(worker_log_path(dir_, "asr"));
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found.begin()->first, name);
    EXPECT_GT(found.begin()->second, MiB(10).n);
    std::filesystem::remove(worker_log_path(dir_, "asr"));
  }
  spec.devices = {"CUDA7"};  // not there: no speech on the CPU instead
  auto worker = start_worker(*os, context_, spec);
  ASSERT_TRUE(worker);
  const http::Cancel cancel{false};
  EXPECT_FALSE((*worker)->ready(cancel));
}

// Two processors of the engine's own remote backend, which compute: what is split over them says
// what one says.
TEST_F(Several, TensorsSplitOverTwoDevicesAnswerAsOneDoes) {
  const std::string server = std::string(GANTRY_ENGINE_DIR) + "/ggml-rpc-server";
  const std::string model = std::string(GANTRY_MODELS_DIR) + "/micro-minutes.gguf";
  if (!std::filesystem::exists(server) || !std::filesystem::exists(model)) {
    GTEST_SKIP() << server << " or " << model << " is not there";
  }
  const std::unique_ptr<Os> os = make_real_os();
  Rng rng = Rng::from_system();
  std::vector<std::unique_ptr<Process>> servers;
  std::string addresses;
  for (int i = 0; i < 2; ++i) {
    const std::string port = std::to_string(20'000 + rng.below(12'000));
    addresses += (i == 0 ? "127.0.0.1:" : ",127.0.0.1:") + port;
    ProcessSpec process;
    process.argv = {server, "-p", port, "-d", "CPU", "-t", "1"};
    auto started = os->spawn(process);
    ASSERT_TRUE(started) << describe(started.error());
    servers.push_back(std::move(*started));
  }
  os->sleep(Millis(1500));
  WorkerSpec spec;
  spec.model = "m";
  spec.file = model;
  spec.placement.context = 512;
  spec.flash_attention = true;
  const nlohmann::json prompt = {{"prompt", "Minutes of this part:\nturn on the light\n"},
                                 {"n_predict", 24},
                                 {"temperature", 0},
                                 {"ignore_eos", true}};
  std::vector<std::string> answers;
  for (const bool tensors : {false, true}) {
    if (tensors) {
      spec.env = {{"LLAMA_ARG_RPC", addresses}, {"LLAMA_ARG_LOG_VERBOSITY", "4"}};
      spec.devices = {"RPC0", "RPC1"};
      spec.placement.layers.resident = 8;
      spec.placement.split_mode = SplitMode::kTensor;
      spec.placement.splits = {{"gpu0", 8, 4}, {"gpu1", 8, 4}};
    }
    auto worker = start_worker(*os, context_, spec);
    ASSERT_TRUE(worker) << describe(worker.error());
    const http::Cancel cancel{false};
    const Result<void> ready = (*worker)->ready(cancel);
    ASSERT_TRUE(ready) << describe(ready.error());
    const auto got = http::fetch(
        (*worker)->address(),
        {.method = "POST", .target = "/completion", .body = prompt.dump()}, {});
    ASSERT_TRUE(got) << describe(got.error());
    answers.push_back(nlohmann::json::parse(got->body).at("content"));
  }
  std::ifstream in(worker_log_path(dir_, "m"));
  const std::string log{std::istreambuf_iterator<char>(in), {}};
  EXPECT_NE(log.find("Meta device with 2 devices"), std::string::npos);
  EXPECT_GT(answers[0].size(), 20U);
  EXPECT_EQ(answers[0], answers[1]);
}

}  // namespace
}  // namespace gantry
