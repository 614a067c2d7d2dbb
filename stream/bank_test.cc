// Tests of the expert banks: choices rewritten to slots that hold what was chosen.
#include "stream/bank.h"

#include <gtest/gtest.h>

#include <atomic>

#include "stream/test_stream.h"

namespace gantry {
namespace {

class BankTest : public testing::TestWithParam<bool> {
 protected:
  BankTest() : rig_(GetParam() ? memory_.inner(cpu_, false) : cpu_) {}
  void load(const std::vector<WeightShape>& shapes) {
    plain_ = std::make_unique<PlainModel>(cpu_, shapes, folder_.file("model"));
    model_ = std::make_unique<StreamedModel>(rig_, *plain_);
    groups_.clear();
    for (Weight& weight : model_->store().weights()) {
      if (weight.tensor->ne[2] <= 1) continue;
      if (groups_.size() <= *weight.layer) groups_.emplace_back();
      groups_[*weight.layer].push_back(&weight);
    }
  }
  std::unique_ptr<ExpertBanks> make(uint64_t bytes, bool host = false) {
    Loader::Options options;
    options.reader = reader_;
    options.staging_bytes = 1 << 20;
    options.staging_buffers = 2;
    auto loader = Loader::make(options, rig_.inner, {&model_->store().files()[0]}, rig_.page(),
                               rig_.trace);
    loader_ = std::move(*loader);
    std::vector<std::vector<Part>> sources;
    for (const auto& group : groups_) {
      sources.emplace_back();
      for (const Weight* weight : group) {
        const auto* at = static_cast<const std::byte*>(plain(*weight)->data);
        sources.back().push_back({host ? Source{-1, 0, at} : weight->source, weight->bytes,
                                  weight->bytes});
      }
    }
    auto banks = ExpertBanks::make(rig_.inner, groups_, bytes, std::move(sources), *loader_,
                                   rig_.page(), rig_.trace);
    EXPECT_TRUE(banks) << describe(banks.error());
    EXPECT_LE((*banks)->bytes(), std::max(bytes, ExpertBanks::least_bytes(groups_)));
    return std::move(*banks);
  }
  const ggml_tensor* plain(const Weight& weight) const {
    return ggml_get_tensor(plain_->context(), weight.tensor->name);
  }
  // A router's choices on the device; rows lie `stride` apart, as in a view of sorted indexes.
  ggml_tensor* choices(const std::vector<std::vector<int32_t>>& rows, size_t stride = 0) {
    const auto columns = rows[0].size();
    stride = std::max(stride, columns);
    contexts_.push_back(make_context());
    ggml_context* ctx = contexts_.back().get();
    ggml_tensor* all = ggml_new_tensor_2d(ctx, GGML_TYPE_I32, static_cast<int64_t>(stride),
                                          static_cast<int64_t>(rows.size()));
    ggml_tensor* view = ggml_view_2d(ctx, all, static_cast<int64_t>(columns), all->ne[1],
                                     all->nb[1], 0);
    buffers_.emplace_back(ggml_backend_alloc_ctx_tensors_from_buft(ctx, rig_.inner.memory));
    std::vector<int32_t> values(stride * rows.size(), 1'000'000);
    for (size_t i = 0; i < rows.size(); i++) {
      std::copy(rows[i].begin(), rows[i].end(),
                values.begin() + static_cast<std::ptrdiff_t>(i * stride));
    }
    ggml_backend_tensor_set(all, values.data(), 0, values.size() * 4);
    return view;
  }
  // Every choice, looked up through its slot, is that expert's bytes in every part.
  void expect_right(ExpertBanks& banks, size_t bank, const std::vector<std::vector<int32_t>>& rows,
                    size_t stride = 0) {
    const ggml_tensor* asked = choices(rows, stride);
    const auto slots = banks.prepare(bank, asked);
    ASSERT_TRUE(slots) << describe(slots.error());
    ASSERT_TRUE(ggml_are_same_shape(*slots, asked));
    ASSERT_TRUE(ggml_is_contiguous(*slots));
    std::vector<int32_t> values(rows.size() * rows[0].size());
    ggml_backend_tensor_get(*slots, values.data(), 0, values.size() * 4);
    for (size_t i = 0; i < values.size(); i++) {
      const int32_t expert = rows[i / rows[0].size()][i % rows[0].size()];
      for (const Weight* weight : groups_[bank]) {
        const uint64_t slice = weight->tensor->nb[2];
        ASSERT_LT(values[i], weight->clone.ne[2]);
        ASSERT_EQ(std::memcmp(static_cast<const std::byte*>(weight->clone.data) +
                                  slice * static_cast<uint64_t>(values[i]),
                              static_cast<const std::byte*>(plain(*weight)->data) +
                                  slice * static_cast<uint64_t>(expert),
                              slice),
                  0)
            << weight->tensor->name << ", expert " << expert;
      }
    }
  }

  TestFolder folder_;
  Inner cpu_ = cpu_inner();
  RemoteMemory memory_{cpu_};
  Rig rig_;
  ReaderOptions reader_;
  std::unique_ptr<PlainModel> plain_;
  std::unique_ptr<StreamedModel> model_;
  std::vector<WeightGroup> groups_;
  std::unique_ptr<Loader> loader_;
  std::vector<Context> contexts_;
  std::vector<Buffer> buffers_;
};

TEST_P(BankTest, ChoicesBecomeSlotsThatHoldThem) {
  load(moe_shapes(3));
  for (const bool host : {false, true}) {
    const auto banks = make(0, host);  // as few slots as there can be
    EXPECT_GT(banks->bytes(), 0u);
    Rng rng(4);
    for (int round = 0; round < 30; round++) {
      std::vector<std::vector<int32_t>> rows(1 + rng.below(6));
      for (auto& row : rows) {
        const auto first = rng.below(kExperts);
        row = {static_cast<int32_t>(first), static_cast<int32_t>((first + 3) % kExperts)};
      }
      expect_right(*banks, rng.below(3), rows, round % 2 == 0 ? 0 : kExperts);
    }
  }
  EXPECT_EQ(rig_.page().expert_bytes,
            rig_.page().expert_misses * 3 * (kWidth * kWidth / 2) * sizeof(float));
}

TEST_P(BankTest, ABatchThatUsesEveryExpertAlwaysFits) {
  load(moe_shapes(2));
  const auto banks = make(0);
  for (int round = 0; round < 3; round++) {
    for (const size_t bank : {0u, 1u}) {
      expect_right(*banks, bank, {{0, 1, 2, 3}, {4, 5, 6, 7}, {7, 0, 7, 0}});
    }
  }
}

TEST_P(BankTest, WhatIsThereIsNotMovedAgain) {
  load(moe_shapes(2));
  const auto banks = make(20 << 20);
  expect_right(*banks, 0, {{1, 2}, {2, 3}});
  EXPECT_EQ(rig_.page().expert_misses, 3u);
  const uint64_t read = rig_.page().disk_bytes;
  expect_right(*banks, 0, {{3, 1}});
  EXPECT_EQ(rig_.page().expert_hits, 2u);
  EXPECT_EQ(rig_.page().disk_bytes, read);
  expect_right(*banks, 1, {{3, 1}});
  expect_right(*banks, 0, {{1, 4}});
  EXPECT_EQ(rig_.page().expert_misses, 6u);
  const uint64_t one = 3 * (kWidth * kWidth / 2) * sizeof(float);
  EXPECT_EQ(rig_.page().expert_used_bytes, 9 * one);
  EXPECT_EQ(rig_.page().per_layer[0].loaded_bytes, 4 * one);
  EXPECT_EQ(rig_.page().per_layer[1].loaded_bytes, 2 * one);
}

TEST_P(BankTest, BanksOfOtherTypesAndNumbersHaveSlotsOfTheirOwn) {
  load({{"blk.0.up_exps", GGML_TYPE_Q4_0, {256, 64, 4}},
        {"blk.0.down_exps", GGML_TYPE_F16, {64, 256, 4}},
        {"blk.1.up_exps", GGML_TYPE_F32, {64, 64, 16}},
        {"blk.2.up_exps", GGML_TYPE_Q4_0, {256, 64, 6}},
        {"blk.2.down_exps", GGML_TYPE_F16, {64, 256, 6}}});
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{400'000}, uint64_t{4'000'000}}) {
    const auto banks = make(bytes);
    for (int round = 0; round < 4; round++) {
      expect_right(*banks, 0, {{round, 3 - round}});
      expect_right(*banks, 1, {{round, 15 - round, 8}});
      expect_right(*banks, 2, {{5, round}, {round, 5}});
    }
  }
}

TEST_P(BankTest, AChoiceOfNoExpertIsAnErrorAndChangesNothing) {
  load(moe_shapes(1));
  const auto banks = make(0);
  expect_right(*banks, 0, {{0, 1}});
  for (const int32_t wrong : {-1, static_cast<int32_t>(kExperts), INT32_MAX, INT32_MIN}) {
    const auto refused = banks->prepare(0, choices({{1, wrong}}));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kInternal);
  }
  expect_right(*banks, 0, {{0, 1}, {7, 6}});
}

TEST_P(BankTest, AFailedFetchLeavesNoStaleSlot) {
  std::atomic<bool> broken = false;
  reader_.fault = [&](uint64_t, size_t, int64_t answer) -> int64_t {
    return broken ? -EIO : answer;
  };
  load(moe_shapes(2));
  const auto banks = make(0);
  expect_right(*banks, 0, {{0, 1, 2, 3, 4, 5, 6, 7}});
  broken = true;
  for (int i = 0; i < 3; i++) {
    const auto refused = banks->prepare(1, choices({{2, 5}, {5, 6}}));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kIo);
  }
  broken = false;
  expect_right(*banks, 1, {{2, 5}, {5, 6}});
  expect_right(*banks, 0, {{0, 1, 2, 3, 4, 5, 6, 7}});
}

TEST_P(BankTest, ALongPromptStaysWithinItsBytes) {
  load(moe_shapes(1));
  const uint64_t bytes = 3 << 20;
  const auto banks = make(std::max(bytes, ExpertBanks::least_bytes(groups_)));
  for (const size_t tokens : {1u, 512u, 2048u}) {
    expect_right(*banks, 0, std::vector<std::vector<int32_t>>(tokens, {0, 1, 2, 3, 4, 5, 6, 7}));
    EXPECT_LE(banks->bytes(), std::max(bytes, ExpertBanks::least_bytes(groups_))) << tokens;
  }
}

INSTANTIATE_TEST_SUITE_P(Memory, BankTest, testing::Bool(), [](const auto& info) {
  return info.param ? "Remote" : "Host";
});

}  // namespace
}  // namespace gantry
