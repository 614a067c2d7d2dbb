// Tests of the plugin as a program sees it: loaded by path, known by name, used through ggml.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "ggml-impl.h"
#include "stream/stats.h"
#include "stream/test_stream.h"

namespace gantry {
namespace {

using nlohmann::json;

// One program each: the library is copied, so that every test loads it for the first time.
class PluginTest : public testing::Test {
 protected:
  PluginTest() {
    ggml_log_set([](ggml_log_level, const char* text, void* log) {
      static_cast<std::string*>(log)->append(text);
    }, &log_);
    set("INNER", "CPU");
    set("SUMMARY", "0");
  }
  ~PluginTest() override {
    for (const auto& name : set_) ::unsetenv(name.c_str());
    ggml_log_set(nullptr, nullptr);
  }
  void set(const std::string& name, const std::string& value) {
    set_.push_back("GANTRY_STREAM_" + name);
    ::setenv(set_.back().c_str(), value.c_str(), 1);
  }
  // Stays loaded: ggml's programs never unload a backend.
  ggml_backend_reg_t load(const std::string& library = GANTRY_PLUGIN) {
    const std::string copy = folder_.file("plugin" + std::to_string(copies_++) + ".so");
    std::filesystem::copy_file(library, copy);
    library_ = ::dlopen(copy.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library_, nullptr) << ::dlerror();
    return again();
  }
  ggml_backend_reg_t again() {
    using Init = ggml_backend_reg_t (*)();
    return reinterpret_cast<Init>(::dlsym(library_, "ggml_backend_init"))();
  }
  static json statistics(ggml_backend_reg_t registry) {
    using Statistics = size_t (*)(ggml_backend_reg_t, char*, size_t);
    const auto function = reinterpret_cast<Statistics>(
        ggml_backend_reg_get_proc_address(registry, "gantry_stream_statistics"));
    std::string text(function(registry, nullptr, 0) + 1, '?');
    EXPECT_EQ(function(registry, text.data(), text.size()), text.size() - 1);
    EXPECT_EQ(text.back(), '\0');
    text.pop_back();
    char small[8] = "xxxxxxx";
    EXPECT_EQ(function(registry, small, sizeof small), text.size());
    EXPECT_EQ(std::string(small), text.substr(0, 7));
    return json::parse(text);
  }
  static ggml_backend_buffer_type_t streamed(ggml_backend_reg_t registry) {
    const auto types = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
        ggml_backend_reg_get_proc_address(registry, "ggml_backend_dev_get_extra_bufts"));
    ggml_backend_buffer_type_t* list = types(ggml_backend_reg_dev_get(registry, 0));
    EXPECT_EQ(list[1], nullptr);
    return list[0];
  }

  Inner cpu_ = cpu_inner();
  TestFolder folder_;
  std::string log_;
  std::vector<std::string> set_;
  int copies_ = 0;
  void* library_ = nullptr;
};

TEST_F(PluginTest, IsOneRegistryWithOneDevice) {
  ggml_backend_reg_t registry = load();
  ASSERT_NE(registry, nullptr) << log_;
  EXPECT_EQ(again(), registry) << "programs load it more than once";
  EXPECT_STREQ(ggml_backend_reg_name(registry), "Gantry");
  ASSERT_EQ(ggml_backend_reg_dev_count(registry), 1u);
  ggml_backend_dev_t device = ggml_backend_reg_dev_get(registry, 0);
  EXPECT_STREQ(ggml_backend_dev_name(device), "Gantry0");
  EXPECT_EQ(ggml_backend_dev_type(device), GGML_BACKEND_DEVICE_TYPE_GPU);
  EXPECT_EQ(ggml_backend_dev_buffer_type(device), cpu_.memory) << "caches are native";
  EXPECT_NE(std::string(ggml_backend_dev_description(device)).find("streamed"),
            std::string::npos);
  ggml_backend_dev_props props;
  ggml_backend_dev_get_props(device, &props);
  EXPECT_GT(props.memory_total, 0u);
  EXPECT_EQ(ggml_backend_reg_get_proc_address(registry, "no such function"), nullptr);
  EXPECT_STREQ(ggml_backend_buft_name(streamed(registry)), "Gantry_Stream");
  EXPECT_FALSE(ggml_backend_buft_is_host(streamed(registry)));
  EXPECT_EQ(statistics(registry)["graphs"], 0);
}

TEST_F(PluginTest, ForAnotherGgmlItSaysSoAndDoesNotLoad) {
  EXPECT_EQ(load(GANTRY_PLUGIN_OF_OLD), nullptr);
  EXPECT_NE(log_.find("0.0.1"), std::string::npos) << log_;
  EXPECT_NE(log_.find(ggml_version()), std::string::npos) << log_;
}

TEST_F(PluginTest, AMalformedVariableIsNamedAndNothingLoads) {
  set("PRESET", "enormous");
  EXPECT_EQ(load(), nullptr);
  EXPECT_NE(log_.find("GANTRY_STREAM_PRESET is \"enormous\""), std::string::npos) << log_;
  set("PRESET", "light");
  set("STATS", folder_.file("no folder/stats"));
  EXPECT_EQ(load(), nullptr);
  EXPECT_NE(log_.find("no folder/stats"), std::string::npos) << log_;
}

TEST_F(PluginTest, AnInnerDeviceThatIsNotThereIsNamedAndNothingBreaks) {
  set("INNER", "CUDA9");
  ggml_backend_reg_t registry = load();
  ASSERT_NE(registry, nullptr);
  ggml_backend_dev_t device = ggml_backend_reg_dev_get(registry, 0);
  EXPECT_EQ(ggml_backend_dev_init(device, nullptr), nullptr);
  EXPECT_NE(log_.find("CUDA9"), std::string::npos) << log_;
  ggml_backend_dev_props props;
  ggml_backend_dev_get_props(device, &props);
  EXPECT_NE(ggml_backend_dev_buffer_type(device), nullptr);
  EXPECT_EQ(ggml_backend_buft_alloc_buffer(streamed(registry), 4096), nullptr);
}

TEST_F(PluginTest, BudgetsAreTheDevicesMemory) {
  set("DEVICE_BUDGET", "3MiB");
  ggml_backend_reg_t registry = load();
  ASSERT_NE(registry, nullptr);
  size_t free = 0, total = 0;
  ggml_backend_dev_memory(ggml_backend_reg_dev_get(registry, 0), &free, &total);
  EXPECT_EQ(total, 3u << 20);
  EXPECT_EQ(free, 3u << 20);
}

TEST_F(PluginTest, LoadersAreLedToTheStreamingType) {
  ggml_backend_reg_t registry = load();
  ASSERT_NE(registry, nullptr);
  ggml_backend_dev_t device = ggml_backend_reg_dev_get(registry, 0);
  const Context context = make_context();
  ggml_tensor* w = ggml_new_tensor_2d(context.get(), GGML_TYPE_Q4_0, 256, 256);
  ggml_tensor* x = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, 256, 1);
  ggml_tensor* product = ggml_mul_mat(context.get(), w, x);
  const Buffer plain(ggml_backend_buft_alloc_buffer(cpu_.memory, 0));
  const Buffer ours(ggml_backend_buft_alloc_buffer(streamed(registry), 0));
  w->buffer = plain.get();
  EXPECT_FALSE(ggml_backend_dev_supports_op(device, product)) << "a weight in plain memory";
  w->buffer = ours.get();
  EXPECT_TRUE(ggml_backend_dev_supports_op(device, product));
  EXPECT_TRUE(ggml_backend_dev_supports_buft(device, streamed(registry)));
  EXPECT_TRUE(ggml_backend_dev_supports_buft(device, cpu_.memory));
}

// A model through ggml's functions alone: filled and mapped, computed, and given back.
TEST_F(PluginTest, StreamsAModelLikeAnyDevice) {
  set("RESIDENT", "1");
  set("STATS", folder_.file("stats"));
  set("TRACE", folder_.file("trace.json"));
  ggml_backend_reg_t registry = load();
  ASSERT_NE(registry, nullptr) << log_;
  const PlainModel plain(cpu_, dense_shapes(3), folder_.file("model.gguf"));
  const File file(gguf_init_from_file(plain.path().c_str(), {true, nullptr}));
  const auto page = MappedStats::open(folder_.file("stats"));
  ASSERT_TRUE(page);
  const Backend backend(ggml_backend_dev_init(ggml_backend_reg_dev_get(registry, 0), nullptr));
  ASSERT_NE(backend, nullptr);
  EXPECT_STREQ(ggml_backend_name(backend.get()), "Gantry0");
  reinterpret_cast<ggml_backend_set_n_threads_t>(ggml_backend_reg_get_proc_address(
      registry, "ggml_backend_set_n_threads"))(backend.get(), 1);
  const std::ifstream open(plain.path());
  const Context context = make_context();
  const Buffer buffer(ggml_backend_buft_alloc_buffer(streamed(registry),
                                                     std::filesystem::file_size(plain.path())));
  ASSERT_NE(buffer, nullptr);
  auto* base = static_cast<std::byte*>(ggml_backend_buffer_get_base(buffer.get()));
  for (ggml_tensor* t = plain.first(); t != nullptr;
       t = ggml_get_next_tensor(plain.context(), t)) {
    ggml_tensor* own = ggml_new_tensor(context.get(), t->type, GGML_MAX_DIMS, t->ne);
    ggml_set_name(own, t->name);
    ggml_backend_tensor_alloc(buffer.get(), own, base + gguf_get_tensor_offset(
                                  file.get(), gguf_find_tensor(file.get(), t->name)));
    ggml_backend_tensor_set(own, t->data, 0, ggml_nbytes(t));
    std::vector<std::byte> back(ggml_nbytes(t));
    ggml_backend_tensor_get(own, back.data(), 0, back.size());
    EXPECT_EQ(std::memcmp(back.data(), t->data, back.size()), 0) << t->name;
  }
  const auto build = [](const Weights& w) {
    return [w](ggml_context* ctx, ggml_tensor* x) { return dense_graph(ctx, w, 3, x); };
  };
  TestGraph wanted(cpu_, {kWidth, 4}, build(plain.weights()));
  const Backend cpu(cpu_backend(cpu_));
  ASSERT_EQ(ggml_backend_graph_compute(cpu.get(), wanted.get()), GGML_STATUS_SUCCESS);
  TestGraph graph(cpu_, {kWidth, 4}, build([&](const std::string& name) {
                    return ggml_get_tensor(context.get(), name.c_str());
                  }));
  for (int i = 0; i < 2; i++) {
    ASSERT_EQ(ggml_backend_graph_compute(backend.get(), graph.get()), GGML_STATUS_SUCCESS);
    EXPECT_EQ(graph.output(), wanted.output());
  }
  EXPECT_EQ(page->page().graphs, 2u);
  EXPECT_EQ(page->page().layers_streamed, 2u);
  EXPECT_GT(page->page().disk_bytes, 0u);
  EXPECT_EQ(statistics(registry)["inner"], "CPU");
  EXPECT_EQ(page->page().live_models, 1u);
  const_cast<Buffer&>(buffer).reset();
  EXPECT_EQ(page->page().live_models, 0u);
  EXPECT_EQ(page->page().resident_bytes + page->page().ring_bytes, 0u);
  EXPECT_GT(json::parse(slurp(folder_.file("trace.json")))["traceEvents"].size(), 6u);
}

TEST_F(PluginTest, TakesMappedMemoryOfItsOwnType) {
  set("RESIDENT", "0");
  ggml_backend_reg_t registry = load();
  ASSERT_NE(registry, nullptr) << log_;
  const PlainModel plain(cpu_, dense_shapes(1), folder_.file("model.gguf"));
  const std::string bytes = slurp(plain.path());
  const int fd = ::open(plain.path().c_str(), O_RDONLY | O_CLOEXEC);
  void* mapping = ::mmap(nullptr, bytes.size(), PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  ggml_backend_dev_t owner = ggml_backend_buft_get_device(streamed(registry));
  ggml_backend_dev_props props;
  ggml_backend_dev_get_props(owner, &props);
  ASSERT_TRUE(props.caps.buffer_from_host_ptr);
  {
    const Buffer buffer(ggml_backend_dev_buffer_from_host_ptr(owner, mapping, bytes.size(), 4096));
    ASSERT_NE(buffer, nullptr);
    EXPECT_EQ(ggml_backend_buffer_get_type(buffer.get()), streamed(registry));
    EXPECT_EQ(ggml_backend_buffer_get_base(buffer.get()), mapping);
  }
  ::munmap(mapping, bytes.size());
}

}  // namespace
}  // namespace gantry
