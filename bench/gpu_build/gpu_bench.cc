// gpu-bench: what bench/gpu needs on a bare machine. Makes models, measures them, times the link.
#include <ggml-backend.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "apps/measure_flags.h"
#include "model/synth.h"
#include "model/synth_file.h"
#include "worker/measure.h"

namespace {

using gantry::Result;
using nlohmann::json;

struct FreeBuffer {
  void operator()(ggml_backend_buffer_t buffer) const { ggml_backend_buffer_free(buffer); }
};
using Buffer = std::unique_ptr<ggml_backend_buffer, FreeBuffer>;

int refuse(const gantry::Error& error) {
  std::fprintf(stderr, "gantry: %s\n", gantry::describe(error).c_str());
  return gantry::exit_code(error.code);
}

int synthesize(const gantry::SynthWish& wish, const std::string& out) {
  const Result<gantry::SynthModel> model = gantry::synth_model(wish);
  if (!model) return refuse(model.error());
  const gantry::SynthWriting how{std::max(1U, std::thread::hardware_concurrency()), nullptr, {}};
  const Result<void> done = gantry::write_synth(*model, out, how);
  return done ? 0 : refuse(done.error());
}

// Seconds of one copy of everything from host memory, best of several.
double copy_seconds(ggml_backend_t backend, ggml_tensor* tensor, const void* from, size_t bytes) {
  double best = 1e9;
  for (int i = 0; i < 8; ++i) {
    const auto start = std::chrono::steady_clock::now();
    ggml_backend_tensor_set_async(backend, tensor, from, 0, bytes);
    ggml_backend_synchronize(backend);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  return best;
}

// Bandwidth of the link as ggml's own calls reach it: what a stream is to be held against.
int link_speed(const std::string& engines, const std::string& name, size_t bytes) {
  ggml_backend_load_all_from_path(engines.c_str());
  ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
  if (device == nullptr) {
    return refuse({gantry::Code::kUnavailable, "ggml has no device named " + name, ""});
  }
  ggml_backend_t backend = ggml_backend_dev_init(device, nullptr);
  const Buffer there(ggml_backend_buft_alloc_buffer(ggml_backend_dev_buffer_type(device), bytes));
  ggml_backend_buffer_type_t pinned_type = ggml_backend_dev_host_buffer_type(device);
  const Buffer pinned(pinned_type == nullptr ? nullptr
                                             : ggml_backend_buft_alloc_buffer(pinned_type, bytes));
  std::vector<char> pageable(bytes, 1);
  json out = {{"device", name}, {"bytes", bytes}};
  ggml_context* context = ggml_init({ggml_tensor_overhead() * 2, nullptr, true});
  ggml_tensor* tensor = ggml_new_tensor_1d(context, GGML_TYPE_I8, static_cast<int64_t>(bytes));
  if (there == nullptr || ggml_backend_tensor_alloc(there.get(), tensor,
                              ggml_backend_buffer_get_base(there.get())) != GGML_STATUS_SUCCESS) {
    return refuse({gantry::Code::kDoesNotFit, "the device has no room for the copy", ""});
  }
  const auto rate = [bytes](double seconds) { return static_cast<double>(bytes) / seconds; };
  out["pageable_bytes_per_s"] = rate(copy_seconds(backend, tensor, pageable.data(), bytes));
  if (pinned != nullptr) {
    void* from = ggml_backend_buffer_get_base(pinned.get());
    std::copy(pageable.begin(), pageable.end(), static_cast<char*>(from));
    out["pinned_bytes_per_s"] = rate(copy_seconds(backend, tensor, from, bytes));
  }
  std::printf("%s\n", out.dump().c_str());
  ggml_free(context);
  ggml_backend_free(backend);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Makes models and measures them", "gpu-bench");
  std::string engines = std::filesystem::path(argv[0]).parent_path().string();
  app.add_option("--engines", engines, "folder of ggml's backends");
  gantry::MeasureOptions measured;
  gantry::add_measure_command(app, &measured);
  gantry::SynthWish wish;
  std::string out, device = "CUDA0";
  size_t bytes = size_t{310} << 20;
  CLI::App* synth = app.add_subcommand("synth", "Write a model with random weights");
  synth->add_option("shape", wish.shape)->required();
  synth->add_option("--layers", wish.layers);
  synth->add_option("--scale", wish.scale);
  synth->add_option("--quant", wish.quant);
  synth->add_option("-o", out)->required();
  CLI::App* link = app.add_subcommand("link", "Time copies from host to device");
  link->add_option("--device", device);
  link->add_option("--bytes", bytes);
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);
  if (app.got_subcommand("synth")) return synthesize(wish, out);
  if (app.got_subcommand("link")) return link_speed(engines, device, bytes);
  measured.engine_dir = engines;
  const std::atomic<bool> never{false};
  return gantry::measure_to(1, measured, never);
}
