// Tests of the model: what it plans, that budgets hold, and that everything is given back.
#include "stream/model.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "stream/test_stream.h"

namespace gantry {
namespace {

uint64_t held(const StatsPage& page) {
  return page.resident_bytes + page.ring_bytes + page.expert_cache_bytes + page.kv_compute_bytes;
}

long maps() {
  const std::string text = slurp("/proc/self/maps");
  return std::count(text.begin(), text.end(), '\n');
}

class ModelTest : public testing::Test {
 protected:
  PlainModel& plain(const std::vector<WeightShape>& shapes, uint64_t seed = 1) {
    const std::string path = folder_.file("model" + std::to_string(plains_.size()));
    plains_.push_back(std::make_unique<PlainModel>(rig_.inner, shapes, path, seed));
    return *plains_.back();
  }
  // Layers of one matrix each.
  static std::vector<WeightShape> chain(int layers) {
    std::vector<WeightShape> shapes;
    for (int i = 0; i < layers; i++) {
      shapes.push_back({"blk." + std::to_string(i) + ".q", GGML_TYPE_F16, {kWidth, kWidth, 1}});
    }
    return shapes;
  }
  static TestGraph::Build chain_graph(const Weights& w, int from, int to) {
    return [=](ggml_context* ctx, ggml_tensor* x) {
      for (int i = from; i < to; i++) {
        x = ggml_tanh(ctx, ggml_mul_mat(ctx, w("blk." + std::to_string(i) + ".q"), x));
      }
      return x;
    };
  }
  static TestGraph::Build dense(const Weights& w, int layers) {
    return [=](ggml_context* ctx, ggml_tensor* x) { return dense_graph(ctx, w, layers, x); };
  }
  static TestGraph::Build moe(const Weights& w, int layers) {
    return [=](ggml_context* ctx, ggml_tensor* x) { return moe_graph(ctx, w, layers, x, 2); };
  }
  std::vector<float> reference(const TestGraph::Build& build, int64_t batch = 2) {
    TestGraph graph(rig_.inner, {kWidth, batch}, build);
    const Backend backend(cpu_backend(rig_.inner));
    EXPECT_EQ(ggml_backend_graph_compute(backend.get(), graph.get()), GGML_STATUS_SUCCESS);
    return graph.output();
  }
  std::vector<float> run(Executor& executor, const TestGraph::Build& build, int64_t batch = 2) {
    TestGraph graph(rig_.inner, {kWidth, batch}, build);
    EXPECT_EQ(executor.compute(graph.get()), GGML_STATUS_SUCCESS);
    return graph.output();
  }
  Executor executor() {
    return Executor(rig_.inner, cpu_backend(rig_.inner), rig_.models, &rig_.streamed.type);
  }
  StatsPage& page() const { return rig_.page(); }
  void budget(uint64_t bytes) { rig_.options.device_budget = Budget{Bytes{bytes}, {}}; }
  // Plans alone; the sum of all gauges afterwards, or nothing where it does not fit.
  std::optional<uint64_t> planned(const TestGraph::Build& build, uint64_t bytes) {
    budget(bytes);
    TestGraph graph(rig_.inner, {kWidth, 2}, build);
    StreamModel* made = rig_.models.model_of(rig_.inner, graph.get());
    const auto ok = made->prepare(graph.get(), this);
    std::optional<uint64_t> sum;
    if (ok) {
      sum = held(page());
      EXPECT_LE(*sum, bytes);
      EXPECT_EQ(page().budget_bytes, bytes);
      EXPECT_GE(page().kv_compute_bytes, graph.buffer_bytes());
    } else {
      EXPECT_EQ(ok.error().code, Code::kDoesNotFit) << describe(ok.error());
    }
    made->forget(this);
    return sum;
  }

  TestFolder folder_;
  Rig rig_;
  std::vector<std::unique_ptr<PlainModel>> plains_;
};

TEST_F(ModelTest, WhatFitsIsComputedWhereItIs) {
  const PlainModel& plain = this->plain(dense_shapes(2));
  const auto wanted = reference(dense(plain.weights(), 2));
  for (const Load load : {Load::kMapped, Load::kKept}) {
    const StreamedModel model(rig_, plain, load);
    Executor executor = this->executor();
    EXPECT_EQ(run(executor, dense(model.weights(), 2)), wanted);
    EXPECT_EQ(page().layers_streamed, 0u);
    EXPECT_EQ(page().ring_bytes, 0u);
    EXPECT_GT(page().resident_bytes, 16 * kMatrixBytes - 1);
    EXPECT_EQ(page().disk_bytes, 0u) << "nothing is copied";
    const Weight* weight = model.store().find(model.tensor("blk.1.q"));
    EXPECT_EQ(weight->place, Weight::Place::kResident);
    EXPECT_EQ(weight->clone.data, weight->tensor->data);
  }
}

TEST_F(ModelTest, PresetsKeepTheirLayers) {
  const PlainModel& plain = this->plain(chain(28));
  const auto wanted = reference(chain_graph(plain.weights(), 0, 28));
  const std::vector<std::pair<Preset, uint64_t>> presets = {{Preset::kLight, 20},
                                                            {Preset::kModerate, 16},
                                                            {Preset::kBalanced, 12},
                                                            {Preset::kAggressive, 8},
                                                            {Preset::kExtreme, 4}};
  for (const auto order : {LayerOrder::kTail, LayerOrder::kInterleave}) {
    for (const auto& [preset, layers] : presets) {
      rig_.options.preset = preset;
      rig_.options.order = order;
      const StreamedModel model(rig_, plain);
      Executor executor = this->executor();
      EXPECT_EQ(run(executor, chain_graph(model.weights(), 0, 28)), wanted);
      EXPECT_EQ(page().layers, 28u);
      EXPECT_EQ(page().layers_streamed, 28 - layers) << preset_name(preset);
      uint64_t resident = 0;
      for (const Weight& weight : model.store().weights()) {
        const bool stays = weight.place == Weight::Place::kResident;
        resident += stays;
        if (order == LayerOrder::kTail) {
          EXPECT_EQ(stays, *weight.layer >= 28 - layers);
        }
        EXPECT_EQ(page().per_layer[*weight.layer].streamed_bytes, stays ? 0 : weight.bytes);
      }
      EXPECT_EQ(resident, layers);
    }
  }
}

// At every budget from too little to more than enough: never exceeded, and more is never less.
TEST_F(ModelTest, NoBudgetIsEverExceeded) {
  const PlainModel& dense_model = this->plain(dense_shapes(3));
  const PlainModel& moe_model = this->plain(moe_shapes(2));
  for (const bool experts : {false, true}) {
    const PlainModel& plain = experts ? moe_model : dense_model;
    uint64_t fitted = 0;
    for (uint64_t bytes = 200'000; bytes < 9'000'000; bytes += 311'111) {
      const StreamedModel model(rig_, plain);
      const auto build = experts ? moe(model.weights(), 2) : dense(model.weights(), 3);
      const auto sum = planned(build, bytes);
      EXPECT_FALSE(fitted > 0 && !sum) << bytes << " refused after less was enough";
      if (sum) fitted++;
    }
    EXPECT_GT(fitted, 10u);
    EXPECT_LT(fitted, 29u);
  }
}

TEST_F(ModelTest, TheSmallestBudgetIsSharp) {
  for (const bool experts : {false, true}) {
    const PlainModel& plain = this->plain(experts ? moe_shapes(2) : dense_shapes(3));
    const auto fits = [&](uint64_t bytes) {
      const StreamedModel model(rig_, plain);
      const auto build = experts ? moe(model.weights(), 2) : dense(model.weights(), 3);
      return planned(build, bytes).has_value();
    };
    uint64_t no = 0, yes = 9'000'000;
    while (yes - no > 1) ((no + yes) / 2 > 0 && fits((no + yes) / 2) ? yes : no) = (no + yes) / 2;
    EXPECT_GT(no, kMatrixBytes);
    EXPECT_TRUE(fits(yes));
    EXPECT_FALSE(fits(no));
    budget(yes);
    const StreamedModel model(rig_, plain);
    const auto build = experts ? moe(model.weights(), 2) : dense(model.weights(), 3);
    Executor executor = this->executor();
    EXPECT_EQ(run(executor, build),
              reference(experts ? moe(plain.weights(), 2) : dense(plain.weights(), 3)));
    EXPECT_GT(page().layers_streamed, 0u);
  }
}

TEST_F(ModelTest, ASecondGraphBringsNewWeights) {
  const PlainModel& plain = this->plain(chain(6));
  rig_.options.resident_layers = 2;
  const StreamedModel model(rig_, plain);
  Executor executor = this->executor();
  EXPECT_EQ(run(executor, chain_graph(model.weights(), 0, 3)),
            reference(chain_graph(plain.weights(), 0, 3)));
  EXPECT_EQ(model.store().find(model.tensor("blk.5.q"))->place, Weight::Place::kUnplanned);
  EXPECT_EQ(run(executor, chain_graph(model.weights(), 0, 6)),
            reference(chain_graph(plain.weights(), 0, 6)));
  EXPECT_EQ(page().layers_streamed, 4u);
  EXPECT_EQ(run(executor, chain_graph(model.weights(), 2, 4)),
            reference(chain_graph(plain.weights(), 2, 4)));
}

TEST_F(ModelTest, AnAdapterJoinsTheModelItAdapts) {
  const PlainModel& base = this->plain(chain(4));
  std::vector<WeightShape> shapes;
  for (int i = 0; i < 4; i++) {
    shapes.push_back({"blk." + std::to_string(i) + ".q.lora_a", GGML_TYPE_F32, {kWidth, 128, 1}});
    shapes.push_back({"blk." + std::to_string(i) + ".q.lora_b", GGML_TYPE_F32, {128, kWidth, 1}});
  }
  const PlainModel& adapter = this->plain(shapes, 5);
  const auto build = [](const Weights& w, const Weights& lora) {
    return [w, lora](ggml_context* ctx, ggml_tensor* x) {
      for (int i = 0; i < 4; i++) {
        const std::string name = "blk." + std::to_string(i) + ".q";
        ggml_tensor* change = ggml_mul_mat(ctx, lora(name + ".lora_b"),
                                           ggml_mul_mat(ctx, lora(name + ".lora_a"), x));
        x = ggml_tanh(ctx, ggml_add(ctx, ggml_mul_mat(ctx, w(name), x), change));
      }
      return x;
    };
  };
  rig_.options.resident_layers = 1;
  const StreamedModel model(rig_, base);
  Executor executor = this->executor();
  const auto alone = reference(chain_graph(base.weights(), 0, 4));
  EXPECT_EQ(run(executor, chain_graph(model.weights(), 0, 4)), alone);
  for (int round = 0; round < 2; round++) {
    const StreamedModel lora(rig_, adapter);
    EXPECT_EQ(run(executor, build(model.weights(), lora.weights())),
              reference(build(base.weights(), adapter.weights())));
    EXPECT_EQ(page().live_models, 1u);
    EXPECT_EQ(lora.store().model, model.store().model);
    EXPECT_EQ(run(executor, chain_graph(model.weights(), 0, 4)), alone);
  }
  EXPECT_EQ(run(executor, chain_graph(model.weights(), 0, 4)), alone) << "the adapter has gone";
}

TEST_F(ModelTest, ModelsThatMeetInOneGraphBecomeOne) {
  const PlainModel& one = this->plain(chain(3));
  const PlainModel& two = this->plain(chain(3), 2);
  rig_.options.resident_layers = 0;
  const StreamedModel first(rig_, one), second(rig_, two);
  Executor executor = this->executor();
  const auto a = run(executor, chain_graph(first.weights(), 0, 3));
  const auto b = run(executor, chain_graph(second.weights(), 0, 3));
  EXPECT_EQ(page().live_models, 2u);
  EXPECT_EQ(page().layers_streamed, 6u);
  const auto both = [](const Weights& u, const Weights& v) {
    return [u, v](ggml_context* ctx, ggml_tensor* x) {
      return chain_graph(v, 0, 3)(ctx, chain_graph(u, 0, 3)(ctx, x));
    };
  };
  EXPECT_EQ(run(executor, both(first.weights(), second.weights())),
            reference(both(one.weights(), two.weights())));
  EXPECT_EQ(page().live_models, 1u);
  EXPECT_EQ(run(executor, chain_graph(first.weights(), 0, 3)), a);
  EXPECT_EQ(run(executor, chain_graph(second.weights(), 0, 3)), b);
}

TEST_F(ModelTest, TwoModelsShareOneBudget) {
  const PlainModel& one = this->plain(chain(12));
  const PlainModel& two = this->plain(chain(12), 2);
  budget(2'500'000);
  const StreamedModel first(rig_, one), second(rig_, two);
  Executor executor = this->executor();
  run(executor, chain_graph(first.weights(), 0, 12));
  EXPECT_LE(held(page()), 2'500'000u);
  TestGraph graph(rig_.inner, {kWidth, 2}, chain_graph(second.weights(), 0, 12));
  const auto status = executor.compute(graph.get());
  EXPECT_LE(held(page()), 2'500'000u);
  if (status == GGML_STATUS_SUCCESS) {
    EXPECT_EQ(graph.output(), reference(chain_graph(two.weights(), 0, 12)));
  } else {
    EXPECT_EQ(status, GGML_STATUS_ALLOC_FAILED);
  }
  EXPECT_EQ(run(executor, chain_graph(first.weights(), 0, 12)),
            reference(chain_graph(one.weights(), 0, 12)));
}

TEST_F(ModelTest, TheProgramsOwnBuffersAreCountedAsTheyComeAndGo) {
  const PlainModel& plain = this->plain(chain(6));
  budget(4'000'000);
  const StreamedModel model(rig_, plain);
  {
    Executor executor = this->executor();
    for (const int64_t batch : {2, 100, 3, 200}) {  // each buffer is freed before the next is made
      TestGraph graph(rig_.inner, {kWidth, batch}, chain_graph(model.weights(), 0, 6));
      ASSERT_EQ(executor.compute(graph.get()), GGML_STATUS_SUCCESS);
      EXPECT_GE(page().kv_compute_bytes, graph.buffer_bytes()) << "batch " << batch;
      EXPECT_LE(held(page()), 4'000'000u) << "batch " << batch;
    }
    EXPECT_GT(page().kv_compute_bytes, 0u);
  }
  EXPECT_EQ(page().kv_compute_bytes, 0u) << "the context is over";
}

TEST_F(ModelTest, ShrinkingEndsAndEveryStepHoldsLess) {
  const PlainModel& plain = this->plain(dense_shapes(4));
  const auto wanted = reference(dense(plain.weights(), 4));
  for (const auto limit : {uint64_t{0}, uint64_t{6'000'000}}) {
    for (const bool by_layers : {false, true}) {
      rig_.options.device_budget.reset();
      if (limit > 0) budget(limit);
      rig_.options.resident_layers.reset();
      if (by_layers) rig_.options.resident_layers = 3;
      const StreamedModel model(rig_, plain);
      Executor executor = this->executor();
      EXPECT_EQ(run(executor, dense(model.weights(), 4)), wanted);
      StreamModel& made = *model.store().model;
      uint64_t last = held(page());
      int steps = 0;
      while (made.shrink()) {
        ASSERT_LT(held(page()), last) << "limit " << limit << ", step " << steps;
        last = held(page());
        ASSERT_LT(++steps, 200);
        if (steps > 3) continue;
        EXPECT_EQ(run(executor, dense(model.weights(), 4)), wanted);
      }
      EXPECT_GT(steps, 0);
      EXPECT_LT(last, 3'000'000u);
    }
  }
}

#ifdef __SANITIZE_ADDRESS__  // keeps freed blocks for a while, in maps of its own
constexpr long kMapsMore = 64;
#else
constexpr long kMapsMore = 8;
#endif

TEST_F(ModelTest, LeavingGivesEverythingBack) {
  const PlainModel& plain = this->plain(moe_shapes(2));
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
  };
  const auto files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  Executor executor = this->executor();
  long maps_before = 0, threads_before = 0, files_before = 0;
  for (int round = 0; round < 12; round++) {
    rig_.options.resident_layers = round % 2;
    {
      const StreamedModel model(rig_, plain);
      run(executor, moe(model.weights(), 2));
      EXPECT_GT(held(page()), 0u);
      EXPECT_EQ(page().live_models, 1u);
    }
    EXPECT_EQ(page().live_models, 0u);
    EXPECT_EQ(held(page()) - page().kv_compute_bytes, 0u);
    EXPECT_EQ(page().host_bytes, 0u);
    if (round == 1) {
      maps_before = maps();
      threads_before = threads();
      files_before = files();
    }
  }
  EXPECT_LT(maps(), maps_before + kMapsMore) << "ten rounds later";
  EXPECT_EQ(threads(), threads_before);
  EXPECT_EQ(files(), files_before);
}

TEST_F(ModelTest, WhatIsKeptInMemory) {
  StreamOptions options;
  EXPECT_TRUE(keeps_loaded_bytes(rig_.inner, options, 1 << 20));
  EXPECT_FALSE(keeps_loaded_bytes(rig_.inner, options, uint64_t{1} << 50));
  options.resident_layers = 3;
  EXPECT_FALSE(keeps_loaded_bytes(rig_.inner, options, 1 << 20));
  options = {};
  options.preset = Preset::kLight;
  EXPECT_FALSE(keeps_loaded_bytes(rig_.inner, options, 1 << 20));
  RemoteMemory memory(rig_.inner);
  const Inner remote = memory.inner(rig_.inner, false);
  options.host_budget = Bytes{1 << 20};
  EXPECT_TRUE(keeps_loaded_bytes(remote, options, 1 << 20));
  EXPECT_FALSE(keeps_loaded_bytes(remote, options, (1 << 20) + 1));
}

}  // namespace
}  // namespace gantry
