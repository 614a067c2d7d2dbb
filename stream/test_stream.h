// For tests: a model whose weights stream, everything around it, and the layers it is made of.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>

#include <memory>
#include <string>
#include <vector>

#include "stream/executor.h"
#include "stream/model.h"
#include "stream/test_model.h"

namespace gantry {

constexpr int64_t kWidth = 256;
constexpr int64_t kExperts = 8;
constexpr uint64_t kMatrixBytes = kWidth * kWidth * 4;  // of F32

inline std::vector<WeightShape> dense_shapes(int layers, ggml_type type = GGML_TYPE_F32) {
  std::vector<WeightShape> shapes;
  for (int i = 0; i < layers; i++) {
    const std::string blk = "blk." + std::to_string(i) + ".";
    shapes.push_back({blk + "norm", GGML_TYPE_F32, {kWidth, 1, 1}});
    for (const char* name : {"q", "k", "v", "o", "gate", "up", "down"}) {
      shapes.push_back({blk + name, type, {kWidth, kWidth, 1}});
    }
  }
  shapes.push_back({"output", type, {kWidth, 2 * kWidth, 1}});
  return shapes;
}

inline std::vector<WeightShape> moe_shapes(int layers, ggml_type type = GGML_TYPE_F32) {
  std::vector<WeightShape> shapes;
  for (int i = 0; i < layers; i++) {
    const std::string blk = "blk." + std::to_string(i) + ".";
    shapes.push_back({blk + "o", type, {kWidth, kWidth, 1}});
    shapes.push_back({blk + "router", GGML_TYPE_F32, {kWidth, kExperts, 1}});
    shapes.push_back({blk + "gate_exps", type, {kWidth, kWidth / 2, kExperts}});
    shapes.push_back({blk + "up_exps", type, {kWidth, kWidth / 2, kExperts}});
    shapes.push_back({blk + "down_exps", type, {kWidth / 2, kWidth, kExperts}});
  }
  return shapes;
}

inline ggml_tensor* normed(ggml_context* ctx, ggml_tensor* x) {
  return ggml_rms_norm(ctx, x, 1e-5f);
}

inline ggml_tensor* dense_layer(ggml_context* ctx, const Weights& w, int i, ggml_tensor* x) {
  const std::string blk = "blk." + std::to_string(i) + ".";
  const auto times = [&](const char* name, ggml_tensor* y) {
    return ggml_mul_mat(ctx, w(blk + name), y);
  };
  ggml_tensor* h = ggml_mul(ctx, normed(ctx, x), w(blk + "norm"));
  ggml_tensor* qk = ggml_mul(ctx, times("q", h), ggml_tanh(ctx, times("k", h)));
  x = ggml_add(ctx, x, times("o", ggml_add(ctx, qk, times("v", h))));
  h = normed(ctx, x);
  ggml_tensor* up = ggml_mul(ctx, ggml_silu(ctx, times("gate", h)), times("up", h));
  return ggml_add(ctx, x, times("down", up));
}

inline ggml_tensor* dense_graph(ggml_context* ctx, const Weights& w, int layers, ggml_tensor* x) {
  for (int i = 0; i < layers; i++) x = dense_layer(ctx, w, i, x);
  return ggml_mul_mat(ctx, w("output"), normed(ctx, x));
}

inline ggml_tensor* moe_layer(ggml_context* ctx, const Weights& w, int i, ggml_tensor* x,
                              int used) {
  const std::string blk = "blk." + std::to_string(i) + ".";
  const int64_t rows = x->ne[1];
  x = ggml_add(ctx, x, ggml_mul_mat(ctx, w(blk + "o"), normed(ctx, x)));
  ggml_tensor* odds = ggml_soft_max(ctx, ggml_mul_mat(ctx, w(blk + "router"), x));
  ggml_tensor* choices = ggml_argsort_top_k(ctx, odds, used);  // a view: rows lie apart
  ggml_tensor* h = ggml_reshape_3d(ctx, normed(ctx, x), kWidth, 1, rows);
  ggml_tensor* gate = ggml_mul_mat_id(ctx, w(blk + "gate_exps"), h, choices);
  ggml_tensor* up = ggml_mul_mat_id(ctx, w(blk + "up_exps"), h, choices);
  ggml_tensor* down = ggml_mul_mat_id(ctx, w(blk + "down_exps"),
                                      ggml_mul(ctx, ggml_silu(ctx, gate), up), choices);
  for (int k = 0; k < used; k++) {
    x = ggml_add(ctx, x, ggml_view_2d(ctx, down, kWidth, rows, down->nb[2],
                                      static_cast<size_t>(k) * down->nb[1]));
  }
  return x;
}

inline ggml_tensor* moe_graph(ggml_context* ctx, const Weights& w, int layers, ggml_tensor* x,
                              int used) {
  for (int i = 0; i < layers; i++) x = moe_layer(ctx, w, i, x, used);
  return x;
}

// What one process has of the streamer, whatever it loads.
struct Rig {
  Rig() : Rig(cpu_inner()) {}
  explicit Rig(const Inner& on) : inner(on), stats(std::move(*MappedStats::make(""))) {}
  StatsPage& page() const { return stats.page(); }
  Inner inner;
  StreamOptions options;
  MappedStats stats;
  Trace trace{""};
  StreamType streamed;
  ModelSet models{options, stats.page(), trace, &streamed.type};
};

enum class Load { kMapped, kFilled, kKept };

// A PlainModel's file, loaded as a program would; unloaded with it.
class StreamedModel {
 public:
  StreamedModel(Rig& rig, const PlainModel& plain, Load load = Load::kMapped)
      : rig_(rig), context_(make_context()) {
    const int fd = ::open(plain.path().c_str(), O_RDONLY | O_CLOEXEC);
    const File file(gguf_init_from_file(plain.path().c_str(), {true, nullptr}));
    const uint64_t data = gguf_get_data_offset(file.get());
    file_bytes_ = std::filesystem::file_size(plain.path());
    if (load == Load::kMapped) {
      mapping_ = static_cast<std::byte*>(
          ::mmap(nullptr, file_bytes_, PROT_READ, MAP_SHARED, fd, 0));
      store_ = Store::mapped(mapping_ + data, file_bytes_ - data);
    } else {
      store_ = std::move(*Store::filled(file_bytes_ - data, load == Load::kKept));
    }
    buffer_.reset(rig.streamed.wrap(*store_));
    for (ggml_tensor* t = plain.first(); t != nullptr;
         t = ggml_get_next_tensor(plain.context(), t)) {
      ggml_tensor* own = ggml_new_tensor(context_.get(), t->type, GGML_MAX_DIMS, t->ne);
      ggml_set_name(own, t->name);
      const auto at = gguf_get_tensor_offset(file.get(), gguf_find_tensor(file.get(), t->name));
      ggml_backend_tensor_alloc(buffer_.get(), own, store_->base() + at);
      if (load != Load::kMapped) store_->write(own, t->data, 0, ggml_nbytes(t));
    }
    ::close(fd);
  }
  ~StreamedModel() {
    rig_.models.leave(store_.get());
    buffer_.reset();
    store_.reset();
    if (mapping_ != nullptr) ::munmap(mapping_, file_bytes_);
  }
  Store& store() const { return *store_; }
  ggml_tensor* tensor(const std::string& name) const {
    return ggml_get_tensor(context_.get(), name.c_str());
  }
  Weights weights() const {
    return [this](const std::string& name) { return tensor(name); };
  }

 private:
  Rig& rig_;
  Context context_;
  std::unique_ptr<Store> store_;
  Buffer buffer_;
  std::byte* mapping_ = nullptr;
  uint64_t file_bytes_ = 0;
};

}  // namespace gantry
