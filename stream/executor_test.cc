// Tests of the executor: graphs cut at weights that stream, against the plain backend, bit by bit.
#include "stream/executor.h"

#include <gtest/gtest.h>

#include <thread>

#include "stream/test_stream.h"

namespace gantry {
namespace {

class ExecutorTest : public testing::Test {
 protected:
  std::unique_ptr<PlainModel> plain(const std::vector<WeightShape>& shapes, uint64_t seed = 1) {
    return std::make_unique<PlainModel>(
        rig_.inner, shapes, folder_.file("model" + std::to_string(files_++)), seed);
  }
  std::unique_ptr<Executor> executor() { return executor(cpu_backend(rig_.inner)); }
  std::unique_ptr<Executor> executor(ggml_backend_t backend) {
    return std::make_unique<Executor>(rig_.inner, backend, rig_.models, &rig_.streamed.type);
  }
  // What the plain backend makes of the same graph over the same weights.
  std::vector<float> reference(std::array<int64_t, 2> input, const TestGraph::Build& build,
                               uint64_t seed = 7) {
    TestGraph graph(rig_.inner, input, build);
    graph.fill(seed);
    const Backend backend(cpu_backend(rig_.inner));
    EXPECT_EQ(ggml_backend_graph_compute(backend.get(), graph.get()), GGML_STATUS_SUCCESS);
    return graph.output();
  }
  std::vector<float> run(Executor& executor, TestGraph& graph, uint64_t seed = 7) {
    graph.fill(seed);
    EXPECT_EQ(executor.compute(graph.get()), GGML_STATUS_SUCCESS);
    return graph.output();
  }
  TestGraph::Build dense(const Weights& weights, int layers) {
    return [=](ggml_context* ctx, ggml_tensor* x) { return dense_graph(ctx, weights, layers, x); };
  }
  // Several steps with a cache in host memory; direct: see KeyCache.
  void generate(bool direct);
  TestGraph::Build moe(const Weights& weights, int layers, int used) {
    return [=](ggml_context* ctx, ggml_tensor* x) {
      return moe_graph(ctx, weights, layers, x, used);
    };
  }

  TestFolder folder_;
  int files_ = 0;
  Rig rig_;
};

// Every source of every node.
std::vector<const ggml_tensor*> sources(ggml_cgraph* graph) {
  std::vector<const ggml_tensor*> out;
  for (int i = 0; i < ggml_graph_n_nodes(graph); i++) {
    const ggml_tensor* node = ggml_graph_node(graph, i);
    out.insert(out.end(), std::begin(node->src), std::end(node->src));
  }
  return out;
}

TEST_F(ExecutorTest, EveryResidencyGivesTheSameBits) {
  constexpr int kLayers = 4;
  for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q4_0}) {
    const auto plain = this->plain(dense_shapes(kLayers, type));
    for (const int64_t batch : {1, 17}) {
      const auto wanted = reference({kWidth, batch}, dense(plain->weights(), kLayers));
      for (const uint32_t resident : {0u, 1u, 3u, 4u}) {
        for (const auto order : {LayerOrder::kTail, LayerOrder::kInterleave}) {
          rig_.options.resident_layers = resident;
          rig_.options.order = order;
          rig_.options.ring = KiB(600);
          const StreamedModel model(rig_, *plain);
          const auto executor = this->executor();
          TestGraph graph(rig_.inner, {kWidth, batch}, dense(model.weights(), kLayers));
          for (int pass = 0; pass < 3; pass++) ASSERT_EQ(run(*executor, graph), wanted);
          if (ggml_row_size(type, kWidth) * kWidth >= kSmallWeight) {
            EXPECT_EQ(rig_.page().layers_streamed, kLayers - resident);
          }
        }
      }
    }
  }
  EXPECT_GT(rig_.page().pieces_loaded, 0u);
  EXPECT_EQ(rig_.page().errors, 0u);
}

TEST_F(ExecutorTest, BitsThatWereFlippedInTheFileAreSeen) {
  const auto plain = this->plain(dense_shapes(2));
  const auto wanted = reference({kWidth, 3}, dense(plain->weights(), 2));
  std::string bytes = slurp(plain->path());
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x40);
  folder_.write("model0", bytes);
  rig_.options.resident_layers = 0;
  const StreamedModel model(rig_, *plain);
  const auto executor = this->executor();
  TestGraph graph(rig_.inner, {kWidth, 3}, dense(model.weights(), 2));
  EXPECT_NE(run(*executor, graph), wanted);
}

TEST_F(ExecutorTest, AFilledStoreServesAsWell) {
  const auto plain = this->plain(dense_shapes(3));
  const auto wanted = reference({kWidth, 5}, dense(plain->weights(), 3));
  for (const auto load : {Load::kFilled, Load::kKept}) {
    for (const uint32_t resident : {0u, 2u, 3u}) {
      rig_.options.resident_layers = resident;
      const StreamedModel model(rig_, *plain, load);
      const auto executor = this->executor();
      TestGraph graph(rig_.inner, {kWidth, 5}, dense(model.weights(), 3));
      for (int pass = 0; pass < 2; pass++) {
        EXPECT_EQ(run(*executor, graph), wanted) << "resident " << resident;
      }
    }
  }
}

TEST_F(ExecutorTest, ViewsOfWeightsAndWeightsUsedTwice) {
  const auto plain = this->plain(dense_shapes(2));
  const auto build = [](const Weights& w) {
    return [w](ggml_context* ctx, ggml_tensor* x) {
      ggml_tensor* q = w("blk.0.q");
      ggml_tensor* half = ggml_view_2d(ctx, q, kWidth, kWidth / 2, q->nb[1],
                                       q->nb[1] * (kWidth / 2));
      ggml_tensor* turned = ggml_cont(ctx, ggml_transpose(ctx, w("blk.1.o")));
      x = ggml_add(ctx, ggml_mul_mat(ctx, q, x), ggml_mul_mat(ctx, w("blk.1.k"), x));
      ggml_tensor* y = ggml_mul_mat(ctx, q, ggml_tanh(ctx, x));  // again, after another
      y = ggml_concat(ctx, ggml_mul_mat(ctx, half, y), ggml_mul_mat(ctx, half, x), 0);
      y = ggml_add(ctx, y, ggml_mul_mat(ctx, turned, y));
      ggml_tensor* row = ggml_view_1d(ctx, w("blk.0.up"), kWidth, 512);
      return ggml_mul(ctx, ggml_add(ctx, y, row), w("blk.0.norm"));
    };
  };
  const auto wanted = reference({kWidth, 4}, build(plain->weights()));
  for (const uint32_t resident : {0u, 1u, 2u}) {
    rig_.options.resident_layers = resident;
    rig_.options.ring = KiB(300);
    const StreamedModel model(rig_, *plain);
    const auto executor = this->executor();
    TestGraph graph(rig_.inner, {kWidth, 4}, build(model.weights()));
    for (int pass = 0; pass < 3; pass++) EXPECT_EQ(run(*executor, graph), wanted);
  }
}

// More views than are remembered, in one segment: those that were handed out stay valid.
TEST_F(ExecutorTest, AnyNumberOfViews) {
  const auto plain = this->plain(dense_shapes(1));
  const auto build = [](const Weights& w) {
    return [w](ggml_context* ctx, ggml_tensor* x) {
      x = ggml_mul_mat(ctx, w("blk.0.q"), x);
      for (size_t i = 0; i < 4500; i++) {
        x = ggml_add(ctx, x, ggml_view_1d(ctx, w("blk.0.q"), kWidth, 1024 * (i % 256)));
      }
      return x;
    };
  };
  const auto wanted = reference({kWidth, 1}, build(plain->weights()));
  rig_.options.resident_layers = 0;
  const StreamedModel model(rig_, *plain);
  const auto executor = this->executor();
  TestGraph graph(rig_.inner, {kWidth, 1}, build(model.weights()));
  for (int pass = 0; pass < 2; pass++) EXPECT_TRUE(run(*executor, graph) == wanted);
}

TEST_F(ExecutorTest, GraphsWithoutOurWeightsPassThrough) {
  const auto plain = this->plain(dense_shapes(1));
  const auto executor = this->executor();
  TestGraph graph(rig_.inner, {kWidth, 4}, dense(plain->weights(), 1));
  EXPECT_EQ(run(*executor, graph), reference({kWidth, 4}, dense(plain->weights(), 1)));
  EXPECT_EQ(rig_.page().graphs, 0u);
}

TEST_F(ExecutorTest, TheGraphIsAsItWasAfterwards) {
  const auto plain = this->plain(moe_shapes(2));
  rig_.options.resident_layers = 0;
  const StreamedModel model(rig_, *plain);
  const auto executor = this->executor();
  TestGraph graph(rig_.inner, {kWidth, 4}, moe(model.weights(), 2, 2));
  const auto before = sources(graph.get());
  run(*executor, graph);
  EXPECT_TRUE(sources(graph.get()) == before);
  // A file that is cut: the first pass fails somewhere in the middle.
  std::filesystem::resize_file(plain->path(), 100'000);
  EXPECT_EQ(executor->compute(graph.get()), GGML_STATUS_FAILED);
  EXPECT_TRUE(sources(graph.get()) == before);
  EXPECT_GT(rig_.page().errors, 0u);
}

TEST_F(ExecutorTest, GoesOnAfterAFileThatWasCutIsReplaced) {
  const auto plain = this->plain(dense_shapes(3));
  const auto wanted = reference({kWidth, 2}, dense(plain->weights(), 3));
  rig_.options.resident_layers = 0;
  const std::string bytes = slurp(plain->path());
  {
    const StreamedModel model(rig_, *plain);
    const auto executor = this->executor();
    TestGraph graph(rig_.inner, {kWidth, 2}, dense(model.weights(), 3));
    EXPECT_EQ(run(*executor, graph), wanted);
    std::filesystem::resize_file(plain->path(), bytes.size() / 2);
    for (int i = 0; i < 3; i++) EXPECT_EQ(executor->compute(graph.get()), GGML_STATUS_FAILED);
  }
  folder_.write("model0", bytes);
  const StreamedModel model(rig_, *plain);
  const auto executor = this->executor();
  TestGraph graph(rig_.inner, {kWidth, 2}, dense(model.weights(), 3));
  EXPECT_EQ(run(*executor, graph), wanted);
}

TEST_F(ExecutorTest, ExpertsGiveTheSameBits) {
  const auto plain = this->plain(moe_shapes(3));
  for (const int64_t batch : {1, 2, 40}) {
    const auto wanted = reference({kWidth, batch}, moe(plain->weights(), 3, 2));
    for (const uint64_t cache : {uint64_t{1} << 10, uint64_t{5} << 20}) {
      rig_.options.resident_layers = 1;
      rig_.options.experts = Bytes{cache};
      const StreamedModel model(rig_, *plain);
      const auto executor = this->executor();
      TestGraph graph(rig_.inner, {kWidth, batch}, moe(model.weights(), 3, 2));
      for (int pass = 0; pass < 3; pass++) {
        EXPECT_EQ(run(*executor, graph), wanted);
        const auto other = reference({kWidth, batch}, moe(plain->weights(), 3, 2), 8);
        EXPECT_EQ(run(*executor, graph, 8), other);
      }
    }
  }
  EXPECT_GT(rig_.page().expert_misses, 0u);
  EXPECT_GT(rig_.page().expert_hits, 0u);
}

TEST_F(ExecutorTest, SeveralExecutorsOfOneModelOnTwoThreads) {
  const auto plain = this->plain(dense_shapes(3));
  const auto experts = this->plain(moe_shapes(2), 9);
  rig_.options.resident_layers = 1;
  rig_.options.ring = KiB(600);
  const StreamedModel model(rig_, *plain), routed(rig_, *experts);
  const auto one = reference({kWidth, 3}, dense(plain->weights(), 3));
  const auto two = reference({kWidth, 1}, dense(plain->weights(), 3));
  const auto three = reference({kWidth, 6}, moe(experts->weights(), 2, 2));
  const auto work = [&](std::array<int64_t, 2> input, const TestGraph::Build& build,
                        const std::vector<float>& wanted) {
    const auto executor = this->executor();
    TestGraph graph(rig_.inner, input, build);
    for (int i = 0; i < 15; i++) ASSERT_EQ(run(*executor, graph), wanted);
  };
  std::thread a([&] { work({kWidth, 3}, dense(model.weights(), 3), one); });
  std::thread b([&] { work({kWidth, 1}, dense(model.weights(), 3), two); });
  work({kWidth, 6}, moe(routed.weights(), 2, 2), three);
  a.join();
  b.join();
}

// Memory of its own: staged copies, a host tier of any size, and the CPU's share in small batches.
TEST_F(ExecutorTest, ADeviceWithMemoryOfItsOwnGivesTheSameBits) {
  const auto dense_model = this->plain(dense_shapes(3));
  const auto moe_model = this->plain(moe_shapes(2));
  struct Batch {
    int64_t tokens;
    std::vector<float> dense, moe;
  };
  std::vector<Batch> batches;
  for (const int64_t n : {1, 3, 40}) {
    batches.push_back({n, reference({kWidth, n}, dense(dense_model->weights(), 3)),
                       reference({kWidth, n}, moe(moe_model->weights(), 2, 2))});
  }
  struct Case {
    bool serial;
    uint64_t host;
    bool exact;
  };
  RemoteMemory memory(rig_.inner);
  for (const auto& [serial, host, exact] :
       {Case{false, 0, true}, {false, 1 << 20, true}, {false, 1 << 30, true},
        {false, 1 << 30, false}, {true, 1 << 30, false}}) {
    Rig remote(memory.inner(rig_.inner, serial));
    remote.options.resident_layers = 1;
    remote.options.ring = MiB(2);
    remote.options.host_budget = Bytes{host};
    remote.options.exact = exact;
    const StreamedModel one(remote, *dense_model), two(remote, *moe_model);
    Executor executor(remote.inner, cpu_backend(rig_.inner), remote.models,
                      &remote.streamed.type);
    executor.set_threads(1);
    for (const Batch& batch : batches) {
      TestGraph a(remote.inner, {kWidth, batch.tokens}, dense(one.weights(), 3));
      TestGraph b(remote.inner, {kWidth, batch.tokens}, moe(two.weights(), 2, 2));
      for (int pass = 0; pass < 3; pass++) {
        ASSERT_EQ(run(executor, a), batch.dense) << serial << " " << host << " " << exact;
        ASSERT_EQ(run(executor, b), batch.moe) << serial << " " << host << " " << exact;
      }
    }
    EXPECT_GT(remote.page().copy_bytes, 0u);
    EXPECT_LE(remote.page().host_bytes, host);
    EXPECT_EQ(remote.page().host_bytes > 0, host > 0);
    EXPECT_EQ(remote.page().cpu_bytes > 0, !exact && host > 0) << serial << " " << host;
  }
}

// Keys of every layer, in the program's cache; each step adds a row and looks at all of them.
struct KeyCache {
  KeyCache(const Weights& find, ggml_context* tensors, int layers) : find(find), layers(layers) {
    for (int i = 0; i < layers; i++) {
      keys.push_back(ggml_new_tensor_2d(tensors, GGML_TYPE_F32, kWidth, 96));
      ggml_format_name(keys.back(), "cache_k_l%d", i);
    }
  }
  // direct: the node that writes the row is used itself, else only what it wrote.
  TestGraph::Build step(int position, bool direct) const {
    return [=, *this](ggml_context* ctx, ggml_tensor* x) {
      for (int i = 0; i < layers; i++) {
        ggml_tensor* cache = keys[static_cast<size_t>(i)];
        ggml_tensor* key = ggml_mul_mat(ctx, find("blk." + std::to_string(i) + ".q"), x);
        ggml_tensor* row = ggml_view_2d(ctx, cache, kWidth, 1, cache->nb[1],
                                        cache->nb[1] * static_cast<size_t>(position));
        ggml_tensor* written = ggml_cpy(ctx, key, row);
        ggml_tensor* rows = ggml_view_2d(ctx, cache, kWidth, position + 1, cache->nb[1], 0);
        rows->src[1] = written;  // comes before it in the graph
        ggml_tensor* query = ggml_add(ctx, x, ggml_tanh(ctx, direct ? written : key));
        ggml_tensor* sums = ggml_soft_max(ctx, ggml_mul_mat(ctx, rows, query));
        ggml_tensor* turned = ggml_cont(ctx, ggml_transpose(ctx, rows));
        x = ggml_add(ctx, x, ggml_mul_mat(ctx, turned, sums));
      }
      return x;
    };
  }
  Weights find;
  int layers;
  std::vector<ggml_tensor*> keys;
};

void ExecutorTest::generate(bool direct) {
  constexpr int kLayers = 3;
  const auto plain = this->plain(dense_shapes(kLayers));
  RemoteMemory memory(rig_.inner);
  for (const uint32_t resident : {0u, 2u}) {
    Rig remote(memory.inner(rig_.inner, false));
    remote.options.resident_layers = resident;
    remote.options.ring = KiB(900);
    const StreamedModel model(remote, *plain);
    const Context ours = make_context(), theirs = make_context();
    const KeyCache streamed(model.weights(), ours.get(), kLayers);
    const KeyCache wanted(plain->weights(), theirs.get(), kLayers);
    const Buffer plain_cache(
        ggml_backend_alloc_ctx_tensors_from_buft(theirs.get(), rig_.inner.memory));
    ggml_backend_buffer_clear(plain_cache.get(), 0);
    const uint64_t each = ggml_nbytes(streamed.keys[0]);
    const auto store = std::move(*Store::cache(each * kLayers));
    const Buffer buffer(remote.streamed.wrap(*store));
    for (size_t i = 0; i < kLayers; i++) {
      ggml_backend_tensor_alloc(buffer.get(), streamed.keys[i], store->base() + each * i);
    }
    store->clear();
    Executor executor(remote.inner, cpu_backend(rig_.inner), remote.models,
                      &remote.streamed.type);
    for (int position = 0; position < 8; position++) {
      TestGraph graph(remote.inner, {kWidth, 1}, streamed.step(position, direct));
      const auto expected = reference({kWidth, 1}, wanted.step(position, direct),
                                      static_cast<uint64_t>(position));
      ASSERT_EQ(run(executor, graph, static_cast<uint64_t>(position)), expected) << position;
      for (size_t i = 0; i < kLayers; i++) {  // between two graphs the program reads and writes
        std::vector<std::byte> bytes(each);
        store->read(streamed.keys[i], bytes.data(), 0, each);
        ASSERT_EQ(std::memcmp(bytes.data(), wanted.keys[i]->data, each), 0) << position;
        const float value = 0.25f;
        store->write(streamed.keys[i], &value, 4096, sizeof value);
        ggml_backend_tensor_set(wanted.keys[i], &value, 4096, sizeof value);
      }
    }
    remote.models.leave(store.get());
  }
}

TEST_F(ExecutorTest, CachesInHostMemoryAreMovedAndWrittenBack) { generate(false); }

TEST_F(ExecutorTest, ANodeThatWritesACacheMayBeUsedItself) { generate(true); }

// A backend that runs out of memory when told, like a device that others use too.
struct Scarce {
  explicit Scarce(const Inner& inner) : cpu(cpu_backend(inner)) {}
  ggml_backend_t give() {
    ggml_backend face = *cpu;
    face.context = this;
    face.iface.free = [](ggml_backend_t self) { std::unique_ptr<ggml_backend>{self}.reset(); };
    face.iface.graph_compute = [](ggml_backend_t self, ggml_cgraph* graph) {
      auto& scarce = *static_cast<Scarce*>(self->context);
      if (scarce.calls++ == scarce.fails_at) return GGML_STATUS_ALLOC_FAILED;
      return ggml_backend_graph_compute(scarce.cpu.get(), graph);
    };
    return std::make_unique<ggml_backend>(face).release();
  }
  Backend cpu;
  int calls = 0;
  int fails_at = -1;
};

TEST_F(ExecutorTest, OutOfMemoryShrinksAndGoesOnWhereItWas) {
  const auto plain = this->plain(dense_shapes(4));
  // In place: computing a part of the graph twice would be seen.
  const auto build = [](const Weights& w) {
    return [w](ggml_context* ctx, ggml_tensor* x) {
      for (int i = 0; i < 4; i++) {
        const std::string blk = "blk." + std::to_string(i) + ".";
        x = ggml_add_inplace(ctx, x, ggml_mul_mat(ctx, w(blk + "q"), x));
        x = ggml_scale_inplace(ctx, x, 0.25f);
        x = ggml_add_inplace(ctx, x, ggml_mul_mat(ctx, w(blk + "o"), x));
      }
      return ggml_mul_mat(ctx, w("output"), x);
    };
  };
  const auto wanted = reference({kWidth, 2}, build(plain->weights()));
  for (const int fails_at : {0, 2, 3}) {
    rig_.options.device_budget = Budget{MiB(2), {}};
    const StreamedModel model(rig_, *plain);
    Scarce scarce(rig_.inner);
    scarce.fails_at = fails_at;
    const auto executor = this->executor(scarce.give());
    TestGraph graph(rig_.inner, {kWidth, 2}, build(model.weights()));
    const uint64_t shrinks = rig_.page().shrinks;
    EXPECT_EQ(run(*executor, graph), wanted) << "failing at segment " << fails_at;
    EXPECT_EQ(rig_.page().shrinks, shrinks + 1);
    EXPECT_EQ(run(*executor, graph), wanted);
  }
}

TEST_F(ExecutorTest, AModelThatNeverFitsIsRefusedAndTheNextOneWorks) {
  const auto plain = this->plain(dense_shapes(2));
  const auto wanted = reference({kWidth, 2}, dense(plain->weights(), 2));
  rig_.options.device_budget = Budget{KiB(100), {}};
  const auto executor = this->executor();
  {
    const StreamedModel model(rig_, *plain);
    TestGraph graph(rig_.inner, {kWidth, 2}, dense(model.weights(), 2));
    const auto before = sources(graph.get());
    EXPECT_EQ(executor->compute(graph.get()), GGML_STATUS_ALLOC_FAILED);
    EXPECT_TRUE(sources(graph.get()) == before);
  }
  rig_.options.device_budget = Budget{MiB(4), {}};
  const StreamedModel model(rig_, *plain);
  TestGraph graph(rig_.inner, {kWidth, 2}, dense(model.weights(), 2));
  EXPECT_EQ(run(*executor, graph), wanted);
}

}  // namespace
}  // namespace gantry
