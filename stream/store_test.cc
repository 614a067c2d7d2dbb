// Tests of the store: files found behind mappings and behind what a loader hands over.
#include "stream/store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream/test_model.h"

namespace gantry {
namespace {

constexpr uint64_t kBytes = 50'000;

class StoreTest : public testing::Test {
 protected:
  ~StoreTest() override {
    for (const auto& [at, bytes] : mappings_) ::munmap(at, bytes);
  }
  std::byte* map(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const auto bytes = std::filesystem::file_size(path);
    void* at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
    ::close(fd);
    mappings_.emplace_back(at, bytes);
    return static_cast<std::byte*>(at);
  }
  // As a loader does: the tensor lies at an offset of the store.
  ggml_tensor* place(Store& store, const std::string& name, uint64_t offset, uint64_t bytes) {
    ggml_tensor* tensor =
        ggml_new_tensor_1d(context_.get(), GGML_TYPE_I8, static_cast<int64_t>(bytes));
    ggml_set_name(tensor, name.c_str());
    tensor->data = store.base() + offset;
    store.add(tensor);
    return tensor;
  }
  std::string read(Store& store, const ggml_tensor* tensor, uint64_t offset, uint64_t bytes) {
    std::string out(bytes, '?');
    store.read(tensor, out.data(), offset, bytes);
    return out;
  }
  // A GGUF file with one tensor of the pattern's bytes, open as long as the test.
  std::string gguf(const std::string& name, const std::string& tensor, uint64_t bytes) {
    const Context data(ggml_init({bytes + (1 << 20), nullptr, false}));
    ggml_tensor* t = ggml_new_tensor_1d(data.get(), GGML_TYPE_I8, static_cast<int64_t>(bytes));
    ggml_set_name(t, tensor.c_str());
    std::memcpy(t->data, patterned(bytes).data(), bytes);
    const File file(gguf_init_empty());
    gguf_add_tensor(file.get(), t);
    gguf_write_to_file(file.get(), folder_.file(name).c_str(), false);
    open_.emplace_back(std::make_unique<std::ifstream>(folder_.file(name)));
    return folder_.file(name);
  }

  TestFolder folder_;
  Context context_ = make_context();
  std::vector<std::pair<void*, uint64_t>> mappings_;
  std::vector<std::unique_ptr<std::ifstream>> open_;
};

TEST_F(StoreTest, FindsTheFileBehindAMapping) {
  const std::string path = folder_.write("a model, with blanks", patterned(kBytes));
  std::byte* at = map(path);
  const auto store = Store::mapped(at + 5000, 40'000);  // data begins behind a header
  ggml_tensor* tensor = place(*store, "blk.3.attn_q.weight", 128, 1000);
  ASSERT_EQ(store->files().size(), 1u);
  EXPECT_EQ(store->files()[0].path(), path);
  const Weight* weight = store->find(tensor);
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->source.file, 0);
  EXPECT_EQ(weight->source.offset, 5128u);
  EXPECT_EQ(weight->bytes, 1000u);
  EXPECT_EQ(weight->layer, 3u);
  EXPECT_EQ(weight->store, store.get());
  EXPECT_EQ(read(*store, tensor, 10, 100), patterned(kBytes).substr(5138, 100));
  store->drop_mapping();
  EXPECT_EQ(read(*store, tensor, 10, 100), patterned(kBytes).substr(5138, 100));
}

TEST_F(StoreTest, AMappingInTheMiddleOfAFile) {
  const std::string path = folder_.write("model", patterned(kBytes));
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  void* at = ::mmap(nullptr, 8192, PROT_READ, MAP_PRIVATE, fd, 12'288);
  ::close(fd);
  mappings_.emplace_back(at, 8192);
  const auto store = Store::mapped(static_cast<std::byte*>(at), 8192);
  const ggml_tensor* tensor = place(*store, "w", 64, 100);
  EXPECT_EQ(store->find(tensor)->source.offset, 12'288u + 64);
}

// The mapping lives on; what the path names now is something else.
TEST_F(StoreTest, OfADeletedOrReplacedFileTheMappingItselfIsTheSource) {
  for (const bool replaced : {false, true}) {
    const std::string path = folder_.write("model", patterned(kBytes));
    std::byte* at = map(path);
    std::filesystem::remove(path);
    if (replaced) {
      folder_.write("model", std::string(kBytes, 'x'));
      folder_.write("model (deleted)", std::string(kBytes, 'x'));  // as the system calls the first
    }
    const auto store = Store::mapped(at, kBytes);
    const ggml_tensor* tensor = place(*store, "w", 4096, 2000);
    EXPECT_TRUE(store->files().empty());
    const Source source = store->find(tensor)->source;
    EXPECT_EQ(source.file, -1);
    EXPECT_EQ(source.host, at + 4096);
    store->drop_mapping();
    EXPECT_TRUE(holds(source.host, 4096, 2000));
  }
}

TEST_F(StoreTest, MemoryThatIsNoFileKeepsItsBytes) {
  void* at = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mappings_.emplace_back(at, kBytes);
  std::memcpy(at, patterned(kBytes).data(), kBytes);
  const auto store = Store::mapped(static_cast<std::byte*>(at), kBytes);
  const ggml_tensor* tensor = place(*store, "w", 4096, 20'000);
  ASSERT_EQ(store->find(tensor)->source.file, -1);
  store->drop_mapping();
  EXPECT_TRUE(holds(store->find(tensor)->source.host, 4096, 20'000));
}

TEST_F(StoreTest, RecognisesAnOpenFileByNameAndBytes) {
  const std::string path = gguf("model.gguf", "blk.0.w", 30'000);
  auto store = std::move(*Store::filled(100'000, false));
  ggml_tensor* tensor = place(*store, "blk.0.w", 0, 30'000);
  store->write(tensor, patterned(30'000).data(), 0, 30'000);
  ASSERT_EQ(store->files().size(), 1u);
  EXPECT_EQ(store->files()[0].path(), path);
  const Source source = store->find(tensor)->source;
  ASSERT_EQ(source.file, 0);
  const std::string file = slurp(path);
  EXPECT_EQ(file.substr(source.offset, 30'000), patterned(30'000));
  EXPECT_EQ(read(*store, tensor, 0, 30'000), patterned(30'000));
  EXPECT_EQ(read(*store, tensor, 12'345, 678), patterned(30'000).substr(12'345, 678));
}

TEST_F(StoreTest, WhatDiffersFromTheFileStaysInMemory) {
  gguf("model.gguf", "blk.0.w", 30'000);
  for (const size_t flipped : {size_t{0}, size_t{29'999}}) {
    auto store = std::move(*Store::filled(100'000, false));
    ggml_tensor* tensor = place(*store, "blk.0.w", 0, 30'000);
    std::string bytes = patterned(30'000);
    bytes[flipped] = static_cast<char>(bytes[flipped] ^ 1);
    store->write(tensor, bytes.data(), 0, bytes.size());
    EXPECT_EQ(store->find(tensor)->source.file, -1);
    EXPECT_EQ(read(*store, tensor, 0, 30'000), bytes);
  }
  auto store = std::move(*Store::filled(100'000, false));
  ggml_tensor* other = place(*store, "blk.1.w", 0, 30'000);     // no such name
  ggml_tensor* shorter = place(*store, "blk.0.w", 40'000, 29'000);  // not its size
  store->write(other, patterned(30'000).data(), 0, 30'000);
  store->write(shorter, patterned(29'000).data(), 0, 29'000);
  EXPECT_TRUE(store->files().empty());
  EXPECT_EQ(read(*store, other, 0, 30'000), patterned(30'000));
  EXPECT_EQ(read(*store, shorter, 0, 29'000), patterned(29'000));
}

TEST_F(StoreTest, KeptBytesAreNotLookedFor) {
  gguf("model.gguf", "blk.0.w", 30'000);
  auto store = std::move(*Store::filled(100'000, true));
  ggml_tensor* tensor = place(*store, "blk.0.w", 64, 30'000);
  store->write(tensor, patterned(30'000).data(), 0, 30'000);
  EXPECT_TRUE(store->files().empty());
  EXPECT_TRUE(holds(store->find(tensor)->source.host, 0, 30'000));
}

TEST_F(StoreTest, PiecewiseWritesMakeAWhole) {
  gguf("model.gguf", "blk.0.w", 30'000);
  const std::string bytes = patterned(30'000);
  auto store = std::move(*Store::filled(100'000, false));
  ggml_tensor* tensor = place(*store, "blk.0.w", 0, 30'000);
  for (size_t at = 0; at < bytes.size(); at += 7000) {
    store->write(tensor, bytes.data() + at, at, std::min<size_t>(7000, bytes.size() - at));
  }
  EXPECT_EQ(read(*store, tensor, 0, 30'000), bytes);
}

TEST_F(StoreTest, APartWrittenLaterLeavesTheRestAsItWas) {
  gguf("model.gguf", "blk.0.w", 30'000);
  auto store = std::move(*Store::filled(100'000, false));
  ggml_tensor* tensor = place(*store, "blk.0.w", 0, 30'000);
  std::string bytes = patterned(30'000);
  store->write(tensor, bytes.data(), 0, bytes.size());
  ASSERT_EQ(store->find(tensor)->source.file, 0);
  store->write(tensor, "other", 10'000, 5);
  bytes.replace(10'000, 5, "other");
  EXPECT_EQ(read(*store, tensor, 0, 30'000), bytes);
}

TEST_F(StoreTest, ReadsTheRecognisedFileEvenIfItsNameIsGone) {
  for (const bool replaced : {false, true}) {
    const std::string path = gguf("model.gguf", "blk.0.w", 30'000);
    auto store = std::move(*Store::filled(100'000, false));
    ggml_tensor* tensor = place(*store, "blk.0.w", 0, 30'000);
    store->write(tensor, patterned(30'000).data(), 0, 30'000);
    ASSERT_EQ(store->find(tensor)->source.file, 0);
    std::filesystem::remove(path);
    if (replaced) folder_.write("model.gguf", "GGUF" + std::string(60'000, 'x'));
    EXPECT_TRUE(read(*store, tensor, 100, 20'000) == patterned(30'000).substr(100, 20'000))
        << (replaced ? "replaced" : "deleted");
  }
}

TEST_F(StoreTest, SeveralFilesOfOneModel) {
  gguf("one.gguf", "blk.0.w", 9000);
  gguf("two.gguf", "blk.1.w", 8000);
  folder_.write("broken.gguf", "GGUF and nothing that follows from it");
  open_.emplace_back(std::make_unique<std::ifstream>(folder_.file("broken.gguf")));
  auto store = std::move(*Store::filled(100'000, false));
  ggml_tensor* one = place(*store, "blk.0.w", 0, 9000);
  ggml_tensor* two = place(*store, "blk.1.w", 10'000, 8000);
  store->write(two, patterned(8000).data(), 0, 8000);
  store->write(one, patterned(9000).data(), 0, 9000);
  EXPECT_EQ(store->files().size(), 2u);
  EXPECT_EQ(store->find(two)->source.file, 0);
  EXPECT_EQ(store->find(one)->source.file, 1);
  EXPECT_EQ(store->weights().size(), 2u);
}

TEST_F(StoreTest, LeavesNoDescriptorsBehind) {
  gguf("model.gguf", "blk.0.w", 9000);
  const auto count = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = count();
  for (int i = 0; i < 5; i++) {
    auto store = std::move(*Store::filled(100'000, false));
    ggml_tensor* tensor = place(*store, "blk.0.w", 0, 9000);
    store->write(tensor, patterned(9000).data(), 0, 9000);
    EXPECT_EQ(store->files().size(), 1u);
  }
  EXPECT_EQ(count(), before);
}

TEST_F(StoreTest, ACacheIsReadWrittenAndClearedInParts) {
  gguf("model.gguf", "cache_k_l0", 9000);  // a cache is nobody's file
  auto store = std::move(*Store::cache(20'000));
  EXPECT_TRUE(store->is_cache());
  ggml_tensor* tensor = place(*store, "cache_k_l0", 4096, 9000);
  store->write(tensor, patterned(9000).data(), 0, 9000);
  EXPECT_TRUE(store->files().empty());
  const ggml_tensor* view = ggml_view_1d(context_.get(), tensor, 100, 5000);
  EXPECT_EQ(read(*store, view, 10, 20), patterned(9000).substr(5010, 20));
  store->write(view, "other", 10, 5);
  EXPECT_EQ(read(*store, tensor, 5010, 5), "other");
  store->clear();
  EXPECT_EQ(read(*store, tensor, 0, 9000), std::string(9000, '\0'));
}

TEST_F(StoreTest, SizesFromNothingToMoreThanThereIs) {
  EXPECT_TRUE(Store::filled(0, true));
  const auto refused = Store::filled(uint64_t{1} << 62, true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit) << describe(refused.error());
}

TEST(LayerOf, NamesOfLayers) {
  EXPECT_EQ(layer_of("blk.0.attn_q.weight"), 0u);
  EXPECT_EQ(layer_of("blk.127.ffn_up.weight"), 127u);
  EXPECT_EQ(layer_of("v.blk.3.ln.weight"), 3u);
  EXPECT_EQ(layer_of("blk.12.attn_q.weight.lora_a"), 12u);
  EXPECT_EQ(layer_of("cache_k_l7"), 7u);
  EXPECT_EQ(layer_of("cache_v_l12"), 12u);
  for (const char* name :
       {"output.weight", "token_embd.weight", "", "blk.", "blk.x.w", "blk.5", "blk.-1.w",
        "blk.99999999999999999999.w", "blk.1w.2", "bulk.1.w", "cache_k_l", "cache_k_l7 (view)",
        "cache_k_7"}) {
    EXPECT_EQ(layer_of(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace gantry
