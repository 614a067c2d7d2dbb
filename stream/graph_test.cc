// Tests of reading graphs: which weights, in what order, and which together.
#include "stream/graph.h"

#include <gtest/gtest.h>

#include "stream/test_stream.h"

namespace gantry {
namespace {

class GraphTest : public testing::Test {
 protected:
  void load(const std::vector<WeightShape>& shapes) {
    plain_ = std::make_unique<PlainModel>(rig_.inner, shapes, folder_.file("model"));
    model_ = std::make_unique<StreamedModel>(rig_, *plain_);
  }
  ggml_tensor* w(const std::string& name) const { return model_->tensor(name); }
  GraphFacts facts(const TestGraph& graph, bool fuse = false) const {
    return read_graph(graph.get(), &type(), rig_.inner.memory, fuse);
  }
  ggml_backend_buffer_type& type() const { return const_cast<Rig&>(rig_).streamed.type; }
  static std::vector<std::vector<std::string>> names(const std::vector<WeightGroup>& groups) {
    std::vector<std::vector<std::string>> out;
    for (const auto& group : groups) {
      out.emplace_back();
      for (const Weight* weight : group) out.back().push_back(weight->tensor->name);
    }
    return out;
  }

  using Names = std::vector<std::vector<std::string>>;
  TestFolder folder_;
  Rig rig_;
  std::unique_ptr<PlainModel> plain_;
  std::unique_ptr<StreamedModel> model_;
};

TEST_F(GraphTest, WeightsInOrderOfFirstUse) {
  load(dense_shapes(2));
  const TestGraph graph(rig_.inner, {kWidth, 3}, [&](ggml_context* ctx, ggml_tensor* x) {
    return dense_graph(ctx, model_->weights(), 2, x);
  });
  const GraphFacts out = facts(graph);
  std::vector<std::string> order;
  for (const auto& group : names(out.groups)) {
    ASSERT_EQ(group.size(), 1u);
    order.push_back(group[0]);
  }
  EXPECT_EQ(order.size(), 15u) << "each once";
  EXPECT_EQ(order.back(), "output");
  for (size_t i = 0; i < 14; i++) EXPECT_EQ(order[i].substr(0, 6), i < 7 ? "blk.0." : "blk.1.");
  EXPECT_EQ(names({out.small}), (Names{{"blk.0.norm", "blk.1.norm"}}));
  EXPECT_TRUE(out.banks.empty());
}

TEST_F(GraphTest, FusedGroupsAreProductsOfOneInput) {
  load(dense_shapes(1));
  const TestGraph graph(rig_.inner, {kWidth, 3}, [&](ggml_context* ctx, ggml_tensor* x) {
    ggml_tensor* q = ggml_mul_mat(ctx, w("blk.0.q"), x);
    ggml_tensor* k = ggml_mul_mat(ctx, w("blk.0.k"), x);
    ggml_tensor* v = ggml_mul_mat(ctx, w("blk.0.v"), x);
    ggml_tensor* o = ggml_mul_mat(ctx, w("blk.0.o"), ggml_add(ctx, ggml_add(ctx, q, k), v));
    return ggml_mul_mat(ctx, w("output"), ggml_mul_mat(ctx, w("blk.0.gate"), o));
  });
  EXPECT_EQ(names(facts(graph, true).groups),
            (Names{{"blk.0.q", "blk.0.k", "blk.0.v"}, {"blk.0.o"}, {"blk.0.gate"}, {"output"}}));
  EXPECT_EQ(facts(graph, false).groups.size(), 6u);
}

TEST_F(GraphTest, GroupsDoNotReachAcrossLayers) {
  load(dense_shapes(2));
  const TestGraph graph(rig_.inner, {kWidth, 3}, [&](ggml_context* ctx, ggml_tensor* x) {
    return ggml_add(ctx, ggml_mul_mat(ctx, w("blk.0.q"), x), ggml_mul_mat(ctx, w("blk.1.q"), x));
  });
  EXPECT_EQ(names(facts(graph, true).groups), (Names{{"blk.0.q"}, {"blk.1.q"}}));
}

TEST_F(GraphTest, ExpertsAreBanksUnlessUsedWhole) {
  load(moe_shapes(2));
  const auto build = [&](bool whole) {
    return [this, whole](ggml_context* ctx, ggml_tensor* x) {
      x = moe_graph(ctx, model_->weights(), 2, x, 2);
      if (!whole) return x;
      ggml_tensor* third = ggml_view_2d(ctx, w("blk.1.gate_exps"), kWidth, kWidth / 2,
                                        w("blk.1.gate_exps")->nb[1],
                                        3 * w("blk.1.gate_exps")->nb[2]);
      return ggml_mul_mat(ctx, third, x);
    };
  };
  const TestGraph routed(rig_.inner, {kWidth, 3}, build(false));
  EXPECT_EQ(names(facts(routed).banks),
            (Names{{"blk.0.gate_exps", "blk.0.up_exps", "blk.0.down_exps"},
                   {"blk.1.gate_exps", "blk.1.up_exps", "blk.1.down_exps"}}));
  EXPECT_EQ(names(facts(routed).groups), (Names{{"blk.0.o"}, {"blk.1.o"}}));
  EXPECT_EQ(names({facts(routed).small}), (Names{{"blk.0.router", "blk.1.router"}}));
  const TestGraph whole(rig_.inner, {kWidth, 3}, build(true));
  EXPECT_EQ(names(facts(whole).banks)[1], (std::vector<std::string>{"blk.1.up_exps",
                                                                    "blk.1.down_exps"}));
  EXPECT_EQ(names(facts(whole).groups), (Names{{"blk.0.o"}, {"blk.1.o"}, {"blk.1.gate_exps"}}));
}

TEST_F(GraphTest, TheProgramsBuffersAreThoseOfTheInnerDevice) {
  load(dense_shapes(1));
  const TestGraph other(rig_.inner, {kWidth, 1}, [](ggml_context* ctx, ggml_tensor* x) {
    return ggml_tanh(ctx, x);
  });
  ggml_tensor* cached = ggml_graph_node(other.get(), 0);
  cached->op = GGML_OP_NONE;  // from here on it is a cache, which no node of this graph makes
  const TestGraph graph(rig_.inner, {kWidth, 1}, [&](ggml_context* ctx, ggml_tensor* x) {
    return ggml_add(ctx, ggml_mul_mat(ctx, w("blk.0.q"), x), cached);
  });
  const GraphFacts out = facts(graph);
  ggml_backend_buffer_t own = ggml_graph_node(graph.get(), 0)->buffer;
  EXPECT_EQ(out.buffers, (std::vector<ggml_backend_buffer_t>{own, cached->buffer}));
  RemoteMemory elsewhere(rig_.inner);
  const Inner remote = elsewhere.inner(rig_.inner, false);
  EXPECT_TRUE(read_graph(graph.get(), &type(), remote.memory, false).buffers.empty());
  ggml_backend_buffer_set_usage(cached->buffer, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
  EXPECT_EQ(facts(graph).buffers, std::vector<ggml_backend_buffer_t>{own});
}

TEST_F(GraphTest, WeightsBehindViews) {
  load(dense_shapes(1));
  const Context context = make_context();
  ggml_tensor* view = ggml_view_1d(context.get(), w("blk.0.q"), 64, 0);
  ggml_tensor* again = ggml_reshape_2d(context.get(), view, 8, 8);
  Weight* weight = model_->store().find(w("blk.0.q"));
  EXPECT_EQ(weight_of(w("blk.0.q"), &type()), weight);
  EXPECT_EQ(weight_of(view, &type()), weight);
  EXPECT_EQ(weight_of(again, &type()), weight);
  EXPECT_EQ(weight_of(nullptr, &type()), nullptr);
  EXPECT_EQ(weight_of(plain_->first(), &type()), nullptr);
  ggml_backend_buffer_type other = type();
  EXPECT_EQ(weight_of(view, &other), nullptr);
  EXPECT_TRUE(is_empty_op(view));
  EXPECT_TRUE(is_empty_op(again));
  EXPECT_TRUE(is_empty_op(w("blk.0.q")));
  EXPECT_FALSE(is_empty_op(ggml_cont(context.get(), view)));
}

}  // namespace
}  // namespace gantry
