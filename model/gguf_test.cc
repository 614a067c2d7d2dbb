// The GGUF parser on right files, at its limits, and cut at every byte.
#include "model/gguf.h"

#include <gtest/gtest.h>

#include "model/forge.h"

namespace gantry {
namespace {

TEST(Gguf, ReadsHeaderPairsAndTensors) {
  const std::string file = forge_language().bytes();
  const Result<Gguf> gguf = read_gguf(as_bytes(file));
  ASSERT_TRUE(gguf) << gguf.error().message;
  EXPECT_EQ(gguf->version, 3U);
  EXPECT_EQ(gguf->alignment, 32U);
  EXPECT_EQ(gguf->data_at % 32, 0U);
  ASSERT_EQ(gguf->tensors.size(), 12U);
  EXPECT_EQ(gguf->tensors[0].name, "token_embd.weight");
  EXPECT_EQ(gguf->tensors[0].shape, (std::array<uint64_t, 4>{64, 32, 1, 1}));
  EXPECT_EQ(gguf->tensors[0].bytes, 4096U);
  EXPECT_EQ(gguf->tensors[1].offset, 4096U);
  EXPECT_EQ(gguf->find("llama.block_count")->whole(), 2U);
  EXPECT_EQ(gguf->find("general.architecture")->text(), "llama");
  EXPECT_EQ(gguf->find("tokenizer.ggml.tokens")->count, 32U);
  EXPECT_EQ(gguf->find("nothing"), nullptr);
}

TEST(Gguf, ReadsEveryValueType) {
  GgufForge forge;
  forge.set("u8", GgufType::kU8, uint8_t{200}).set("i8", GgufType::kI8, int8_t{-3});
  forge.set("u16", GgufType::kU16, uint16_t{60000}).set("i16", GgufType::kI16, int16_t{-4});
  forge.set("u32", 4'000'000'000U).set("i32", GgufType::kI32, int32_t{5});
  forge.set("f32", GgufType::kF32, 1.5F).set("f64", GgufType::kF64, 2.5);
  forge.set("u64", GgufType::kU64, UINT64_MAX).set("i64", GgufType::kI64, int64_t{-1});
  forge.set("bool", GgufType::kBool, uint8_t{1}).set("text", std::string_view("\xFF raw"));
  forge.list<uint16_t>("list", GgufType::kU16, {1, 2, 3}).strings("texts", {"a", "", "bcd"});
  const std::string file = forge.bytes();
  const Result<Gguf> gguf = read_gguf(as_bytes(file));
  ASSERT_TRUE(gguf) << gguf.error().message;
  EXPECT_EQ(gguf->find("u8")->whole(), 200U);
  EXPECT_EQ(gguf->find("i8")->whole(), std::nullopt);
  EXPECT_EQ(gguf->find("u16")->whole(), 60000U);
  EXPECT_EQ(gguf->find("i16")->whole(), std::nullopt);
  EXPECT_EQ(gguf->find("u32")->whole(), 4'000'000'000U);
  EXPECT_EQ(gguf->find("i32")->whole(), 5U);
  EXPECT_EQ(gguf->find("f32")->whole(), std::nullopt);
  EXPECT_EQ(gguf->find("f64")->raw.size(), 8U);
  EXPECT_EQ(gguf->find("u64")->whole(), UINT64_MAX);
  EXPECT_EQ(gguf->find("i64")->whole(), std::nullopt);
  EXPECT_EQ(gguf->find("bool")->flag(), true);
  EXPECT_EQ(gguf->find("u8")->flag(), std::nullopt);
  EXPECT_EQ(gguf->find("text")->text(), "\xFF raw");
  EXPECT_EQ(gguf->find("list")->whole(2), 3U);
  EXPECT_EQ(gguf->find("list")->whole(3), std::nullopt);
  EXPECT_EQ(gguf->find("list")->text(), std::nullopt);
  EXPECT_EQ(gguf->find("texts")->raw.size(), 3 * 8 + 4U);
}

TEST(Gguf, ReadsVersionTwoAndEveryAlignment) {
  GgufForge forge = forge_language();
  forge.version = 2;
  EXPECT_TRUE(read_gguf(as_bytes(forge.bytes())));
  for (uint32_t alignment = 1; alignment <= 4096; alignment *= 2) {
    forge.alignment = alignment;
    forge.set("general.alignment", alignment);
    const std::string file = forge.bytes();
    const Result<Gguf> gguf = read_gguf(as_bytes(file));
    ASSERT_TRUE(gguf) << gguf.error().message;
    EXPECT_EQ(gguf->alignment, alignment);
    EXPECT_EQ(gguf->data_at % alignment, 0U);
  }
}

TEST(Gguf, ReadsEveryTensorType) {
  for (uint32_t type = 0; type < kTensorTypeCount; ++type) {
    if (tensor_type(type) == nullptr) continue;
    GgufForge forge;
    forge.tensor("t", {512, 3}, type).tensor("scalar", {}, 0);
    const std::string file = forge.bytes();
    const Result<Gguf> gguf = read_gguf(as_bytes(file));
    ASSERT_TRUE(gguf) << type << gguf.error().message;
    EXPECT_EQ(gguf->tensors[0].bytes,
              1536 / tensor_type(type)->block * tensor_type(type)->bytes);
    EXPECT_EQ(gguf->tensors[1].elements, 1U);
  }
}

TEST(Gguf, RefusesAFileCutAtAnyByte) {
  const GgufForge forge = forge_language();
  const std::string whole = forge.bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);  // its own allocation, so that ASan sees reads
    const Result<Gguf> gguf = read_gguf(as_bytes(cut));
    ASSERT_FALSE(gguf) << size;
    EXPECT_EQ(gguf.error().code, Code::kCorrupt) << size;
    EXPECT_FALSE(gguf.error().message.empty());
    EXPECT_FALSE(gguf.error().remedy.empty());
  }
}

TEST(Gguf, LimitsHoldAtNAndNPlusOne) {
  const auto with = [](const GgufForge& forge) { return read_gguf(as_bytes(forge.bytes())); };
  GgufForge forge;
  forge.set(std::string(kGgufKeyMax, 'k'), 1);
  EXPECT_TRUE(with(forge));
  forge.set(std::string(kGgufKeyMax + 1, 'k'), 1);
  EXPECT_EQ(with(forge).error().code, Code::kTooLarge);

  forge = GgufForge();
  forge.tensor(std::string(kGgufTensorNameMax, 't'), {1});
  EXPECT_TRUE(with(forge));
  forge.tensor(std::string(kGgufTensorNameMax + 1, 't'), {1});
  EXPECT_EQ(with(forge).error().code, Code::kTooLarge);

  forge = GgufForge();
  forge.alignment = kGgufAlignmentMax;
  forge.set("general.alignment", kGgufAlignmentMax);
  EXPECT_TRUE(with(forge));
  forge.set("general.alignment", 2 * kGgufAlignmentMax);
  EXPECT_EQ(with(forge).error().code, Code::kTooLarge);

  forge = GgufForge();
  for (uint64_t i = 0; i < kGgufPairsMax; ++i) {
    forge.pairs.emplace_back(std::to_string(i), Ink().put<uint32_t>(0).put<uint8_t>(1).out);
  }
  EXPECT_TRUE(with(forge));
  forge.pairs.emplace_back("one more", Ink().put<uint32_t>(0).put<uint8_t>(1).out);
  EXPECT_EQ(with(forge).error().code, Code::kTooLarge);

  forge = GgufForge();
  forge.alignment = 1;
  forge.set("general.alignment", 1);
  for (uint64_t i = 0; i < kGgufTensorsMax; ++i) forge.tensor(std::to_string(i), {1}, 24);
  EXPECT_TRUE(with(forge));
  forge.tensor("one more", {1}, 24);
  EXPECT_EQ(with(forge).error().code, Code::kTooLarge);
}

TEST(Gguf, MessagesNameFieldOffsetAndValue) {
  GgufForge forge = forge_language();
  forge.tensors[1].shape = {33};
  forge.tensors[1].type = 8;
  const Result<Gguf> row = read_gguf(as_bytes(forge.bytes()));
  ASSERT_FALSE(row);
  EXPECT_EQ(row.error().message,
            "rows of tensor 'blk.0.attn_norm.weight' have 33 elements, no multiple of Q8_0's block "
            "of 32");
  forge = forge_language();
  forge.tensors[1].offset = 32;
  const Result<Gguf> offset = read_gguf(as_bytes(forge.bytes()));
  ASSERT_FALSE(offset);
  EXPECT_EQ(offset.error().message,
            "tensor 'blk.0.attn_norm.weight' has data offset 32, inside another tensor (expected "
            "4096)");
  forge = forge_language();
  forge.set("general.alignment", 24);
  const Result<Gguf> alignment = read_gguf(as_bytes(forge.bytes()));
  ASSERT_FALSE(alignment);
  EXPECT_NE(alignment.error().message.find("is 24, not a power of two"), std::string::npos);
}

}  // namespace
}  // namespace gantry
