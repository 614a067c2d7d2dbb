// From names to what loading takes, with cards given by the test.
#include "foreman/roster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "foreman/store_bench.h"
#include "foreman/test_bench.h"

namespace gantry {
namespace {

using testing::HasSubstr;

ModelCard language_card() {
  ModelCard card;
  card.architecture = "llama";
  card.layers = 2, card.embd = 64, card.heads = 4, card.heads_kv = 4, card.vocab = 100;
  card.context_trained = 2048;
  card.groups = {{Part::kLayer, 0, MiB(10), Bytes{}, 1}, {Part::kLayer, 1, MiB(10), Bytes{}, 1}};
  card.weight_bytes = card.file_bytes = MiB(20);
  LayerKv kv;
  kv.k_width = kv.v_width = 64, kv.k_head = kv.v_head = 32;
  card.kv = {kv, kv};
  return card;
}

ModelCard speech_card() {
  ModelCard card = language_card();
  card.format = ModelFormat::kWhisper;
  card.architecture = "whisper";
  card.audio_context = 200, card.audio_layers = 2, card.text_context = 64;
  return card;
}

class RosterTest : public StoreBench {
 protected:
  void SetUp() override {
    StoreBench::SetUp();
    bench_.config.models.clear();
    bench_.config.ram_budget = Budget{GiB(1), std::nullopt};
    restart();
  }
  void restart() {
    roster_ = std::make_unique<Roster>(
        RosterOptions{&bench_.host, &bench_.config, &bench_.machine, store_.get(),
                      [this](const std::string& file, const std::string& mmproj) -> Result<Cards> {
                        ++reads_;
                        Cards cards{cards_[base_name(file)], std::nullopt};
                        if (!mmproj.empty()) cards.mmproj = cards_[base_name(mmproj)];
                        return cards;
                      },
                      &bench_.clock, engine_.get()});
  }
  // An engine that says so many bytes of weights, and 3 MiB of everything else.
  void ask_engine(Bytes weights) {
    engine_ = std::make_unique<EngineAnswers>(EngineAnswersOptions{
        &bench_.host, &bench_.clock,
        [this, weights](const WorkerSpec& spec) -> Result<nlohmann::json> {
          asked_.push_back(spec);
          if (weights == Bytes{}) return fail(Code::kWorkerFailed, "no");
          return nlohmann::json{
              {"devices", nlohmann::json::array()},
              {"host",
               {{"model", weights.n}, {"context", MiB(1).n}, {"compute", MiB(2).n}}}};
        },
        "", "engine"});
    restart();
  }
  ModelConfig& add(const std::string& name, const ModelCard& card) {
    ModelConfig model;
    model.name = name;
    model.file = bench_.file(name + ".gguf", name);
    cards_[name + ".gguf"] = card;
    bench_.config.models.push_back(model);
    return bench_.config.models.back();
  }
  Loadable find(const std::string& name, bool trusted = false) {
    Result<Loadable> found = roster_->find(name, trusted);
    EXPECT_TRUE(found) << found.error().message;
    return found.value_or(Loadable{});
  }

  void saw(const Loadable& loadable, Bytes measured, LoadEnd end = LoadEnd::kUnloaded) {
    LoadSeen seen;
    seen.fingerprint = loadable.fingerprint;
    seen.model = loadable.name;
    seen.at = bench_.clock.wall();
    seen.end = end;
    seen.corrected = loadable.corrected;
    seen.bytes = {{"cpu", on_device(loadable.shares, "cpu"), measured}};
    ASSERT_TRUE(store_->add_load(seen));
  }

  TestBench bench_;
  std::map<std::string, ModelCard> cards_;
  int reads_ = 0;
  std::vector<WorkerSpec> asked_;
  std::unique_ptr<EngineAnswers> engine_;
  std::unique_ptr<Roster> roster_;
};

TEST_F(RosterTest, TheEnginesBytesAreBookedAndAskedForOnce) {
  add("talk", language_card());
  add("hear", speech_card());
  const Loadable formula = find("talk");
  ask_engine(MiB(40));
  const Loadable engine = find("talk");
  const Need& need = engine.spec.placement.needs.back();
  EXPECT_EQ(need.weights, MiB(40));
  EXPECT_EQ(on_device(engine.shares, "cpu"), MiB(43) + need.overhead);
  EXPECT_NE(engine.fingerprint, formula.fingerprint);  // a history of its own
  EXPECT_EQ(engine.asked, formula.asked);
  find("talk");
  find("hear");  // nobody to ask
  ASSERT_EQ(asked_.size(), 1U);
  EXPECT_EQ(asked_[0].file, engine.spec.file);
  EXPECT_EQ(asked_[0].placement.context, engine.spec.placement.context);
  bench_.file("talk.gguf", "another");
  find("talk");
  EXPECT_EQ(asked_.size(), 2U);
}

TEST_F(RosterTest, WhatWasMeasuredComesOnTopOfTheEnginesBytes) {
  add("talk", language_card());
  ask_engine(MiB(40));
  const Loadable before = find("talk");
  saw(before, on_device(before.shares, "cpu") + MiB(9));
  const Loadable after = find("talk");
  EXPECT_GT(on_device(after.shares, "cpu"), on_device(before.shares, "cpu"));
  EXPECT_EQ(after.spec.placement.needs.back().weights, MiB(40));
  EXPECT_EQ(asked_.size(), 1U);
}

TEST_F(RosterTest, AnEngineThatFailsOrDoesNotFitIsNoLoss) {
  add("talk", language_card());
  const Loadable formula = find("talk");
  ask_engine({});
  EXPECT_EQ(find("talk").shares.front().bytes, formula.shares.front().bytes);
  EXPECT_EQ(find("talk").fingerprint, formula.fingerprint);
  EXPECT_EQ(asked_.size(), 1U);  // held for a while
  bench_.config.stream = "off";
  ask_engine(GiB(2));  // the budget is 1 GiB
  const Result<Loadable> refused = roster_->find("talk", false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit);
}

TEST_F(RosterTest, KindsAreToldFromTheFiles) {
  add("talk", language_card());
  add("hear", speech_card());
  ModelCard encoder = language_card();
  encoder.architecture = "bert";
  encoder.kv.clear();
  add("embed", encoder);
  EXPECT_EQ(find("talk").kind, "language");
  EXPECT_EQ(find("hear").kind, "speech");
  EXPECT_EQ(find("hear").spec.engine, EngineKind::kWhisper);
  EXPECT_EQ(find("embed").kind, "embedding");
  EXPECT_TRUE(find("embed").spec.embeddings);
  EXPECT_EQ(find("talk").device, "cpu");
  EXPECT_GT(on_device(find("talk").shares, "cpu"), MiB(20));
}

TEST_F(RosterTest, PicturesAreNoLargerThanPlanned) {
  ModelCard eyes;
  eyes.architecture = "clip";
  eyes.layers = 2, eyes.embd = 64, eyes.heads = 4, eyes.ffn = 128;
  eyes.image_size = 56, eyes.patch_size = 14;
  for (const char* projector : {"mlp", "qwen3vl_merger"}) {
    eyes.vision.projector = projector;
    add(projector, language_card()).mmproj = bench_.file("eyes.gguf", "eyes");
    cards_["eyes.gguf"] = eyes;
    EXPECT_EQ(find(projector).spec.image_tokens, eyes.vision.is_qwen() ? kQwenImageTokens : 0U);
  }
}

TEST_F(RosterTest, ALanguageModelHearsWithAnEncoderOfSoundAlone) {
  ModelCard ears;
  ears.architecture = "clip";
  ears.layers = ears.audio_layers = 2;
  ears.audio = {.embd = 64, .heads = 4, .ffn = 128};
  ears.audio_projector = "qwen3a", ears.audio_mels = 128, ears.audio_channels = 480;
  cards_["ears.gguf"] = ears;
  ModelConfig& model = add("asr", language_card());
  model.mmproj = bench_.file("ears.gguf", "ears");
  EXPECT_EQ(find("asr").kind, "language");
  EXPECT_EQ(find("asr").spec.voice.engine, "");
  const Bytes without = on_device(find("asr").shares, "cpu");
  model.kind = "speech";
  model.parallel = 4;
  const Loadable found = find("asr");
  EXPECT_EQ(found.spec.engine, EngineKind::kLlama);
  EXPECT_EQ(found.spec.voice.engine, "speech");
  EXPECT_EQ(found.spec.mmproj, model.mmproj);
  EXPECT_EQ(found.slots, 1U);
  EXPECT_GT(without, MiB(20) + MiB(200));  // half a minute through 480 channels
  model.mmproj.clear();
  EXPECT_EQ(roster_->find("asr", false).error().code, Code::kUnsupported);
  model.mmproj = bench_.file("eyes.gguf", "eyes");
  ears.audio_projector.clear();
  cards_["eyes.gguf"] = ears;
  const auto blind = roster_->find("asr", false);
  ASSERT_FALSE(blind);
  EXPECT_NE(blind.error().remedy.find("this one has none"), std::string::npos);
}

TEST_F(RosterTest, SettingsReachTheWorker) {
  ModelConfig& model = add("talk", language_card());
  model.context = 512;
  model.parallel = 3;
  model.cache_k = model.cache_v = CacheType::kQ8_0;
  model.ttl_s = 7;
  model.env = {{"A", "B"}};
  restart();
  const Loadable found = find("talk");
  EXPECT_EQ(found.slots, 3U);
  EXPECT_EQ(found.ttl, Millis(7000));
  EXPECT_EQ(found.spec.placement.context, 512U);
  EXPECT_EQ(found.spec.parallel, 3U);
  EXPECT_EQ(found.spec.cache_v, CacheType::kQ8_0);
  EXPECT_TRUE(found.spec.flash_attention);  // a quantised V needs it
  EXPECT_EQ(found.spec.env.size(), 1U);
  EXPECT_EQ(found.spec.file, model.file);
}

TEST_F(RosterTest, PiecesOfARecordingAtOnce) {
  bench_.machine.cpu.threads = 4;
  add("hear", speech_card());
  restart();
  const Loadable three = find("hear");
  EXPECT_EQ(three.spec.parallel, 3U);
  EXPECT_EQ(three.slots, 1U);  // recordings wait for each other
  bench_.config.models.back().parallel = 1;
  restart();
  const Loadable one = find("hear");
  EXPECT_EQ(one.spec.parallel, 1U);
  EXPECT_LT(on_device(one.shares, "cpu"), on_device(three.shares, "cpu"));
  EXPECT_NE(one.fingerprint, three.fingerprint);

  // Where only one fits, nobody is refused who did not insist.
  const Bytes room = on_device(one.shares, "cpu") + MiB(1);
  ASSERT_LT(room, on_device(three.shares, "cpu"));
  bench_.config.ram_budget = Budget{room, std::nullopt};
  bench_.config.models.back().parallel.reset();
  restart();
  EXPECT_EQ(find("hear").spec.parallel, 1U);
  bench_.config.models.back().parallel = 3;
  restart();
  const auto insisted = roster_->find("hear", false);
  ASSERT_FALSE(insisted);
  EXPECT_EQ(insisted.error().code, Code::kDoesNotFit);

  bench_.config.ram_budget.reset();
  bench_.config.models.back().parallel.reset();
  bench_.machine.cpu.threads = 1;
  restart();
  EXPECT_EQ(find("hear").spec.parallel, 1U);
}

TEST_F(RosterTest, WhereASpeechModelEncodes) {
  const auto encoder = [this](const std::string& word) {
    bench_.config.models.clear();
    add("hear", speech_card()).encoder = word;
    restart();
    return find("hear").spec.encoder;
  };
  EXPECT_EQ(encoder(""), "none");
  const Loadable bare = find("hear");
  EXPECT_EQ(encoder("auto"), "none");  // no NPU here
  EXPECT_EQ(encoder("npu"), "npu");    // the worker says what became of that
  EXPECT_EQ(encoder("cpu"), "cpu");
  const Loadable openvino = find("hear");
  EXPECT_GT(on_device(openvino.shares, "cpu"), on_device(bare.shares, "cpu"));
  EXPECT_NE(openvino.fingerprint, bare.fingerprint);  // a history of its own

  Device npu;
  npu.name = "npu";
  npu.kind = DeviceKind::kNpu;
  bench_.machine.devices.push_back(npu);
  EXPECT_EQ(encoder(""), "auto");
  EXPECT_EQ(encoder("auto"), "auto");
  EXPECT_EQ(encoder("none"), "none");
  EXPECT_EQ(encoder("gpu"), "gpu");
  bench_.config.models.clear();
  add("talk", language_card()).encoder = "npu";
  restart();
  EXPECT_EQ(find("talk").spec.encoder, "none");
}

TEST_F(RosterTest, NamesAliasesPathsAndStrangers) {
  add("talk", language_card()).aliases = {"chat"};
  EXPECT_EQ(find("chat").name, "talk");
  const std::string path = bench_.config.models.back().file;
  EXPECT_EQ(find(path, true).name, path);
  const Result<Loadable> stranger = roster_->find(path, false);
  EXPECT_EQ(stranger.error().code, Code::kNotFound);
  EXPECT_THAT(stranger.error().remedy, HasSubstr("talk"));
  EXPECT_EQ(roster_->find("relative/path", true).error().code, Code::kNotFound);
  EXPECT_EQ(roster_->find("/nowhere/x.gguf", true).error().code, Code::kNotFound);
  EXPECT_EQ(roster_->find("/tmp", true).error().code, Code::kUsage);
  EXPECT_EQ(roster_->find("", true).error().code, Code::kNotFound);
}

TEST_F(RosterTest, TheUsersModelOfANameWins) {
  add("talk", language_card());
  ModelConfig own = bench_.config.models.back();
  own.context = 256;
  bench_.config.models.push_back(own);
  restart();
  EXPECT_EQ(find("talk").spec.placement.context, 256U);
  EXPECT_EQ(roster_->models().size(), 1U);
}

TEST_F(RosterTest, FilesAreReadOnceUntilTheyChange) {
  add("talk", language_card());
  const std::string before = find("talk").fingerprint;
  EXPECT_EQ(find("talk").fingerprint, before);
  EXPECT_EQ(reads_, 1);
  bench_.file("talk.gguf", "another, longer file");
  EXPECT_NE(find("talk").fingerprint, before);
  EXPECT_EQ(reads_, 2);
}

TEST_F(RosterTest, ListingReadsNothing) {
  add("talk", language_card()).kind = "language";
  restart();
  const std::vector<ModelStatus> before = roster_->models();
  ASSERT_EQ(before.size(), 1U);
  EXPECT_EQ(before[0].kind, "language");
  EXPECT_EQ(before[0].predicted, Bytes{});
  EXPECT_EQ(reads_, 0);
  const Loadable found = find("talk");
  EXPECT_EQ(roster_->models()[0].predicted, on_device(found.shares, "cpu"));
}

TEST_F(RosterTest, APredictionIsNeverBelowWhatWasMeasured) {
  add("talk", language_card());
  const Loadable first = find("talk");
  const Bytes predicted = on_device(first.shares, "cpu");
  saw(first, predicted - MiB(5));
  EXPECT_EQ(on_device(find("talk").shares, "cpu"), predicted);  // less changes nothing
  saw(first, predicted + MiB(50));
  EXPECT_GE(on_device(find("talk").shares, "cpu"), predicted + MiB(50));
  EXPECT_LE(on_device(find("talk").shares, "cpu"), predicted + MiB(60));
  saw(find("talk"), predicted + MiB(50));  // what was added is not an error once more
  EXPECT_LE(on_device(find("talk").shares, "cpu"), predicted + MiB(60));
}

TEST_F(RosterTest, OneWrongFigureDoesNotKeepAModelFromLoading) {
  add("talk", language_card()).stream = "off";
  restart();
  const Loadable first = find("talk");
  saw(first, GiB(2));
  EXPECT_EQ(on_device(find("talk").shares, "cpu"), on_device(first.shares, "cpu"));
  saw(first, GiB(2));  // said twice: it needs that
  EXPECT_EQ(roster_->find("talk", false).error().code, Code::kDoesNotFit);
  for (size_t i = 0; i < kLoadsLearnt; ++i) saw(first, on_device(first.shares, "cpu"));
  EXPECT_EQ(on_device(find("talk").shares, "cpu"), on_device(first.shares, "cpu"));
}

TEST_F(RosterTest, WhatACommandWasSeenToNeedIsPlanned) {
  ModelConfig server;
  server.name = "server";
  server.cmd = "serve ${PORT}";
  bench_.config.models.push_back(server);
  restart();
  EXPECT_EQ(on_device(find("server").shares, "cpu"), GiB(1));  // unknown: all there is
  saw(find("server"), MiB(80));
  EXPECT_EQ(on_device(find("server").shares, "cpu"), MiB(96));
  bench_.config.models.back().memory = MiB(400);
  restart();
  for (int load = 0; load < 3; ++load) {
    EXPECT_EQ(on_device(find("server").shares, "cpu"), load < 2 ? MiB(400) : MiB(96));
    saw(find("server"), MiB(80));  // the user's word is believed for a while
  }
  saw(find("server"), MiB(800));
  EXPECT_EQ(on_device(find("server").shares, "cpu"), MiB(900));
  saw(find("server"), GiB(3));  // alone: tried with all of the budget
  EXPECT_EQ(on_device(find("server").shares, "cpu"), GiB(1));
  saw(find("server"), GiB(3));
  EXPECT_EQ(roster_->find("server", false).error().code, Code::kDoesNotFit);
}

TEST_F(RosterTest, AStoppedCommandGetsTwiceOfWhatWasSeen) {
  ModelConfig server;
  server.name = "server";
  server.cmd = "serve ${PORT}";
  server.memory = MiB(100);
  server.growth = Growth::kStop;
  bench_.config.models.push_back(server);
  restart();
  EXPECT_EQ(find("server").growth, Growth::kStop);
  saw(find("server"), MiB(150), LoadEnd::kGrew);
  EXPECT_EQ(on_device(find("server").shares, "cpu"), with_margin(MiB(300)));
}

TEST_F(RosterTest, PlannedIntoTheRoomThatIsLeft) {
  add("talk", language_card());
  const Loadable whole = find("talk");
  const Shares none = {{"cpu", MiB(1)}};
  EXPECT_EQ(roster_->find("talk", true, &none).error().code, Code::kDoesNotFit);
  const Shares enough = {{"cpu", on_device(whole.shares, "cpu")}};
  const Result<Loadable> again = roster_->find("talk", true, &enough);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->asked, whole.asked);
}

TEST_F(RosterTest, WhatDoesNotFitNamesTheNeedAndAFix) {
  ModelCard huge = language_card();
  huge.groups[0].bytes = GiB(2);
  huge.weight_bytes = huge.file_bytes = GiB(2) + MiB(10);
  add("huge", huge).stream = "off";
  const Result<Loadable> refused = roster_->find("huge", false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit);
  EXPECT_THAT(refused.error().message, HasSubstr("1.0 GiB"));
  EXPECT_NE(refused.error().remedy, "");
}

TEST_F(RosterTest, WhatDoesNotFitWholeStreams) {
  ModelCard big = language_card();
  big.groups.clear();
  for (int layer = 0; layer < 2; ++layer) {
    big.groups.push_back({Part::kLayer, layer, MiB(600), Bytes{}, 60});
    big.groups.back().sizes.assign(60, MiB(10).n);
  }
  big.weight_bytes = big.file_bytes = MiB(1200);
  add("big", big);
  const Loadable found = find("big");
  ASSERT_TRUE(found.spec.placement.stream);
  EXPECT_EQ(found.device, "cpu");
  EXPECT_LE(on_device(found.shares, "cpu"), GiB(1));
  EXPECT_THAT(found.fingerprint, HasSubstr("|s"));  // measured under this budget only
  bench_.config.stream = "off";
  restart();
  EXPECT_EQ(roster_->find("big", false).error().code, Code::kDoesNotFit);
  bench_.config.models.back().stream = "1";
  restart();
  EXPECT_EQ(find("big").spec.placement.layers.resident, 1U);
}

TEST_F(RosterTest, AJobsWordsMakeAModelOfItsOwn) {
  add("talk", language_card()).demand.shortage = {"cpu"};
  Device gpu;
  gpu.name = "gpu0";
  gpu.backend = "CUDA0";
  gpu.kind = DeviceKind::kGpu;
  gpu.total = gpu.free = GiB(4);
  bench_.machine.devices.push_back(gpu);
  restart();
  EXPECT_EQ(find("talk", true).device, "gpu0");
  const Loadable there = find("talk#device=cpu", true);
  EXPECT_EQ(there.name, "talk#device=cpu");
  EXPECT_EQ(there.device, "cpu");
  const Loadable patient = find("talk#device=gpu0#shortage=wait,refuse", true);
  EXPECT_EQ(patient.name, "talk#device=gpu0#shortage=wait,refuse");
  EXPECT_EQ(patient.shortage, (std::vector{Shortage::kWait, Shortage::kRefuse}));
  EXPECT_EQ(find("talk#1#device=cpu", true).name, "talk#1#device=cpu");
  EXPECT_EQ(find("talk#shortage=cpu", true).name, "talk");  // what it does anyway
  EXPECT_EQ(roster_->canonical("talk#shortage=cpu#device=cpu"), "talk#device=cpu");
  EXPECT_EQ(roster_->find("talk#device=gpu7", true).error().code, Code::kUsage);
  EXPECT_EQ(roster_->find("talk#shortage=pray", true).error().code, Code::kUsage);
  EXPECT_EQ(roster_->find("talk#shortage=", true).error().code, Code::kUsage);
  EXPECT_EQ(roster_->find("talk#device=cpu", false).error().code, Code::kNotFound);
}

TEST_F(RosterTest, AModelStreamsInAWayOfItsOwn) {
  add("talk", language_card()).aliases = {"t"};
  EXPECT_EQ(find("talk#1", true).name, "talk#1");
  EXPECT_EQ(find("t#1", true).name, "talk#1");
  EXPECT_EQ(roster_->canonical("t#1"), "talk#1");
  EXPECT_EQ(find("talk#1", true).spec.placement.layers.streamed, 1U);
  EXPECT_EQ(find("talk#auto", true).name, "talk");  // what it does anyway
  EXPECT_FALSE(find("talk#off", true).spec.placement.stream);
  EXPECT_EQ(roster_->find("talk#fast", true).error().code, Code::kUsage);
  EXPECT_EQ(roster_->find("nobody#1", true).error().code, Code::kNotFound);
  EXPECT_EQ(roster_->find("talk#1", false).error().code, Code::kNotFound);  // not for strangers
  const std::string odd = bench_.file("odd#1", "x");  // a file that is called so
  cards_["odd#1"] = language_card();
  EXPECT_FALSE(find(odd, true).spec.placement.stream);
  EXPECT_EQ(find(odd, true).spec.file, odd);
}

TEST_F(RosterTest, BudgetsComeFromTheUserElseFromTheMachine) {
  Machine machine = bench_.machine;  // 4 GiB, 3 of them available
  Config config;
  EXPECT_NEAR(static_cast<double>(on_device(budgets_of(machine, config), "cpu").n),
              0.8 * static_cast<double>(GiB(3).n), 1.0);
  config.ram_budget = Budget{std::nullopt, 0.5};
  EXPECT_EQ(on_device(budgets_of(machine, config), "cpu"), GiB(2));
  config.ram_budget = Budget{GiB(100), std::nullopt};
  EXPECT_EQ(on_device(budgets_of(machine, config), "cpu"), GiB(4));
  machine.memory.cgroup_limit = GiB(1);
  EXPECT_EQ(on_device(budgets_of(machine, config), "cpu"), GiB(1));
  Device gpu;
  gpu.name = "gpu0";
  gpu.kind = DeviceKind::kGpu;
  gpu.total = GiB(8);
  gpu.free = GiB(6);
  machine.devices.push_back(gpu);
  EXPECT_EQ(on_device(budgets_of(machine, config), "gpu0"), GiB(6));
  config.vram_budget = Budget{GiB(5), std::nullopt};
  EXPECT_EQ(on_device(budgets_of(machine, config), "gpu0"), GiB(5));
}

TEST_F(RosterTest, TheDecoderHasAPlanToo) {
  const Result<Placement> media = roster_->media(MediaTool::kFfmpeg);
  ASSERT_TRUE(media) << media.error().message;
  const Result<Placement> small = roster_->media(MediaTool::kSmall);
  ASSERT_TRUE(small) << small.error().message;
  EXPECT_GT(small->on("cpu"), Bytes{});
  EXPECT_GT(media->on("cpu"), small->on("cpu"));
}

}  // namespace
}  // namespace gantry
