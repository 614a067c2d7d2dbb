// Tests of products on the CPU beside the device: the CPU backend's own bits.
#include "stream/cpu_side.h"

#include <gtest/gtest.h>

#include "stream/test_model.h"

namespace gantry {
namespace {

class CpuSideTest : public testing::Test {
 protected:
  struct Product {
    std::vector<float> wanted, got;
  };
  // The same product by the backend and by the side, node and input in a device's memory.
  Product product(CpuSide& side, ggml_type type, std::array<int64_t, 2> shape, int64_t batch) {
    const PlainModel plain(cpu_, {{"w", type, {shape[0], shape[1], 1}}}, folder_.file("w"));
    const auto build = [&](ggml_context* ctx, ggml_tensor* x) {
      return ggml_mul_mat(ctx, plain.weights()("w"), x);
    };
    Product out;
    TestGraph reference(cpu_, {shape[0], batch}, build);
    const Backend backend(cpu_backend(cpu_));
    EXPECT_EQ(ggml_backend_graph_compute(backend.get(), reference.get()), GGML_STATUS_SUCCESS);
    out.wanted = reference.output();
    TestGraph graph(memory_.inner(cpu_, false), {shape[0], batch}, build);
    ggml_tensor* node = ggml_graph_node(graph.get(), 0);
    const auto ok = side.product(node, static_cast<const std::byte*>(plain.first()->data));
    EXPECT_TRUE(ok) << describe(ok.error());
    out.got = graph.output();
    return out;
  }

  TestFolder folder_;
  Inner cpu_ = cpu_inner();
  RemoteMemory memory_{cpu_};
};

TEST_F(CpuSideTest, GivesTheBackendsBits) {
  for (const int threads : {1, 2}) {
    auto side = CpuSide::make(threads);
    ASSERT_TRUE(side);
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_K}) {
      for (const int64_t batch : {1, 2, 7, 16}) {
        const Product out = product(**side, type, {512, 96}, batch);
        EXPECT_EQ(out.got, out.wanted) << ggml_type_name(type) << ", batch " << batch;
      }
    }
  }
}

TEST_F(CpuSideTest, LargerAndSmallerProductsInAnyOrder) {
  auto side = CpuSide::make(0);
  ASSERT_TRUE(side);
  for (const auto& [columns, rows, batch] :
       {std::array<int64_t, 3>{32, 1, 1}, {1024, 300, 16}, {64, 5, 3}, {2048, 64, 16}}) {
    const Product out = product(**side, GGML_TYPE_F32, {columns, rows}, batch);
    EXPECT_EQ(out.got, out.wanted) << columns << " x " << rows;
  }
}

}  // namespace
}  // namespace gantry
