// Cutting graphs at the weights they wait for.
#include "stream/executor.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "ggml-backend-impl.h"
#include "ggml-impl.h"

namespace gantry {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t ns_since(Clock::time_point from) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - from).count());
}

void complain(const Error& error) { GGML_LOG_ERROR("gantry: %s\n", describe(error).c_str()); }

}  // namespace

Executor::Executor(const Inner& inner, ggml_backend_t backend, ModelSet& models,
                   ggml_backend_buffer_type_t streamed)
    : inner_(inner), backend_(backend), models_(models), streamed_(streamed) {
  if (inner.events) event_ = ggml_backend_event_new(inner.device);
}

Executor::~Executor() {
  models_.forget(this);
  if (event_ != nullptr) ggml_backend_event_free(event_);
  ggml_backend_free(backend_);
}

// True: a weight without a place, or a buffer of the program's that was not counted.
bool Executor::wants_plan(const ggml_cgraph* graph) {
  ggml_backend_buffer_t last = nullptr;
  bool wants = false;
  for (int i = 0; i < graph->n_nodes; i++) {
    const ggml_tensor* node = graph->nodes[i];
    const ggml_tensor* root = node->view_src != nullptr ? node->view_src : node;
    if (root->buffer != nullptr && root->buffer != last) {
      last = root->buffer;
      uint64_t& known = buffers_[last];
      wants = wants || known != ggml_backend_buffer_get_size(last);
      known = ggml_backend_buffer_get_size(last);
    }
    if (is_empty_op(node)) continue;
    for (const ggml_tensor* source : node->src) {
      const Weight* weight = weight_of(source, streamed_);
      if (weight != nullptr && weight->place == Weight::Place::kUnplanned) return true;
    }
  }
  return wants;
}

ggml_status Executor::compute(ggml_cgraph* graph) {
  StreamModel* model = models_.model_of(inner_, graph);
  if (model == nullptr) return ggml_backend_graph_compute_async(backend_, graph);
  const std::lock_guard turn(model->turn());
  int begun = 0;
  for (;;) {
    if (wants_plan(graph)) {
      if (const auto ok = model->prepare(graph, this); !ok) {
        complain(ok.error());
        model->stats().errors++;
        buffers_.clear();
        return ok.error().code == Code::kDoesNotFit ? GGML_STATUS_ALLOC_FAILED
                                                    : GGML_STATUS_FAILED;
      }
    }
    const ggml_status status = compute_streamed(graph, *model, begun);
    if (status != GGML_STATUS_ALLOC_FAILED || !model->shrink()) return status;
  }
}

ggml_status Executor::compute_streamed(ggml_cgraph* graph, StreamModel& model, int& begun) {
  Pass pass;
  pass.begun = begun;
  pass.graph = graph;
  pass.model = &model;
  views_used_ = 0;
  model.stats().graphs++;
  if (model.balance() != nullptr) share(pass);
  const ggml_status status = run(pass);
  undo(pass);
  settle(pass);
  release(pass);
  begun = pass.begun;
  return status;
}

ggml_status Executor::run(Pass& pass) {
  for (int i = pass.begun; i < pass.graph->n_nodes; i++) {
    if (is_empty_op(pass.graph->nodes[i])) continue;
    if (const auto status = visit(pass, i); status != GGML_STATUS_SUCCESS) return status;
  }
  return flush(pass, pass.graph->n_nodes);
}

ggml_status Executor::visit(Pass& pass, int index) {
  ggml_tensor* node = pass.graph->nodes[index];
  // First what has to be waited for, then what is shown to the device: waiting computes what came
  // before and undoes its patches.
  for (ggml_tensor* source : node->src) {
    const Weight* weight = weight_of(source, streamed_);
    if (weight == nullptr) continue;
    ggml_status status = GGML_STATUS_SUCCESS;
    const bool cpu = weight->piece < pass.on_cpu.size() && pass.on_cpu[weight->piece];
    if (cpu && weight->place == Weight::Place::kStreamed) {
      status = compute_on_cpu(pass, index, *weight);
      if (status != GGML_STATUS_SUCCESS) return status;
      break;
    }
    if (cpu) continue;
    if (weight->place == Weight::Place::kExpert) {
      status = use_bank(pass, index, *weight);
    } else if (weight->piece != SIZE_MAX && pass.piece != weight->piece) {
      status = use_piece(pass, index, weight->piece);
    }
    if (status != GGML_STATUS_SUCCESS) return status;
  }
  if (pass.begun > index) return GGML_STATUS_SUCCESS;  // computed already
  for (ggml_tensor*& source : node->src) {
    const Weight* weight = weight_of(source, streamed_);
    if (weight == nullptr) continue;
    if (weight->place == Weight::Place::kExpert) patch(pass, &node->src[2], pass.slots);
    patch(pass, &source, shown(*weight, source));
  }
  // What is computed into a cache is a view of it.
  if (const Weight* weight = weight_of(node, streamed_)) {
    pass.moved.push_back({node, node->data, node->buffer});
    const ggml_tensor* clone = shown(*weight, node);
    node->data = clone->data;
    node->buffer = clone->buffer;
  }
  return GGML_STATUS_SUCCESS;
}

ggml_status Executor::use_piece(Pass& pass, int index, size_t piece) {
  if (const auto status = flush(pass, index); status != GGML_STATUS_SUCCESS) return status;
  settle(pass);
  std::swap(pass.finishing, pass.piece);
  Mover& mover = *pass.model->mover();
  if (event_ != nullptr && pass.finishing) {
    // The device may still compute with it; it is let go when the next segment is under way.
    ggml_backend_event_record(event_, backend_);
    if (mover.take(piece)) {
      pass.piece = piece;
      return GGML_STATUS_SUCCESS;
    }
  }
  settle(pass);
  if (const auto ok = mover.wait(piece); !ok) {
    complain(ok.error());
    return GGML_STATUS_FAILED;
  }
  pass.piece = piece;
  return GGML_STATUS_SUCCESS;
}

// Decides which pieces the CPU takes in this pass. Only plain products of whole weights in host
// memory can go there.
void Executor::share(Pass& pass) {
  StreamModel& model = *pass.model;
  const size_t pieces = model.mover()->pieces().size();
  std::vector<bool> eligible(pieces, true);
  for (int i = 0; i < pass.graph->n_nodes; i++) {
    const ggml_tensor* node = pass.graph->nodes[i];
    if (is_empty_op(node)) continue;
    for (const ggml_tensor* source : node->src) {
      const Weight* weight = weight_of(source, streamed_);
      if (weight == nullptr || weight->place != Weight::Place::kStreamed) continue;
      const ggml_tensor* input = node->src[1];
      const bool plain = node->op == GGML_OP_MUL_MAT && source == node->src[0] &&
                         source == weight->tensor && input->type == GGML_TYPE_F32 &&
                         ggml_is_contiguous(input) && ggml_is_contiguous(node) &&
                         model.host_bytes(*weight) != nullptr;
      if (!plain) {
        eligible[weight->piece] = false;
      } else {
        pass.batch = std::max(pass.batch, static_cast<uint32_t>(input->ne[1]));
      }
    }
  }
  const StatsPage& stats = model.stats();
  model.balance()->measured_link(stats.copy_bytes, stats.copy_ns);
  pass.on_cpu = model.balance()->on_cpu(pass.batch, eligible);
  std::vector<size_t> order;
  for (size_t i = 0; i < pieces; i++) {
    if (!pass.on_cpu[i]) order.push_back(i);
  }
  model.mover()->set_order(std::move(order));
}

void Executor::set_threads(int threads) {
  if (threads != threads_) cpu_.reset();
  threads_ = threads;
}

ggml_status Executor::compute_on_cpu(Pass& pass, int index, const Weight& weight) {
  if (const auto status = flush(pass, index); status != GGML_STATUS_SUCCESS) return status;
  ggml_backend_synchronize(backend_);
  const auto from = Clock::now();
  Result<void> done;
  if (!cpu_) {
    auto made = CpuSide::make(threads_);
    if (made) {
      cpu_ = std::move(*made);
    } else {
      done = fail(made.error());
    }
  }
  if (done) {
    done = cpu_->product(pass.graph->nodes[index], pass.model->host_bytes(weight));
  }
  if (!done) {
    complain(done.error());
    return GGML_STATUS_FAILED;
  }
  const uint64_t took = ns_since(from);
  StatsPage& stats = pass.model->stats();
  stats.cpu_bytes += weight.bytes;
  stats.cpu_ns += took;
  pass.model->balance()->measured_cpu(pass.batch, weight.bytes, took);
  if (pass.model->trace().on()) {
    pass.model->trace().add(TraceRow::kCompute, "cpu: " + std::string(weight.tensor->name), from,
                            Clock::now(), weight.bytes);
  }
  pass.begun = index + 1;
  return GGML_STATUS_SUCCESS;
}

ggml_status Executor::use_bank(Pass& pass, int index, const Weight& weight) {
  const ggml_tensor* choices = pass.graph->nodes[index]->src[2];
  if (pass.slots != nullptr && pass.bank == weight.bank && pass.choices == choices) {
    return GGML_STATUS_SUCCESS;
  }
  if (const auto status = flush(pass, index); status != GGML_STATUS_SUCCESS) return status;
  ggml_backend_synchronize(backend_);
  const auto slots = pass.model->banks()->prepare(weight.bank, choices);
  if (!slots) {
    complain(slots.error());
    pass.model->stats().errors++;
    return GGML_STATUS_FAILED;
  }
  pass.slots = *slots;
  pass.bank = weight.bank;
  pass.choices = choices;
  return GGML_STATUS_SUCCESS;
}

// Hands the nodes up to `end` to the device. Devices read the graph while they are handed it, so
// patches can be undone right after.
ggml_status Executor::flush(Pass& pass, int end) {
  ggml_status status = GGML_STATUS_SUCCESS;
  if (end > pass.begun) {
    ggml_cgraph segment = ggml_graph_view(pass.graph, pass.begun, end);
    const auto from = Clock::now();
    status = ggml_backend_graph_compute_async(backend_, &segment);
    if (event_ == nullptr) ggml_backend_synchronize(backend_);
    pass.model->stats().compute_ns += ns_since(from);
    pass.model->stats().segments++;
    if (pass.model->trace().on()) {
      pass.model->trace().add(TraceRow::kCompute, pass.graph->nodes[pass.begun]->name, from,
                              Clock::now(), 0);
    }
    if (status == GGML_STATUS_SUCCESS) pass.begun = end;
  }
  undo(pass);
  return status;
}

void Executor::undo(Pass& pass) {
  for (const auto& patch : pass.patches) *patch.where = patch.original;
  pass.patches.clear();
  for (const auto& moved : pass.moved) {
    moved.node->data = moved.data;
    moved.node->buffer = moved.buffer;
  }
  pass.moved.clear();
}

// Waits for the segment before the last one, and gives its piece back.
void Executor::settle(Pass& pass) {
  if (!pass.finishing) return;
  if (event_ != nullptr) ggml_backend_event_synchronize(event_);
  pass.model->write_back(*pass.finishing);
  pass.model->mover()->release(*pass.finishing);
  pass.finishing.reset();
}

void Executor::release(Pass& pass) {
  if (!pass.piece) return;
  // Graphs of single nodes come from callbacks that look at every tensor; the next one will ask for
  // this piece again and find it in its place, unless its turn is over.
  if (event_ != nullptr) ggml_backend_synchronize(backend_);
  pass.model->write_back(*pass.piece);
  pass.model->mover()->release(*pass.piece);
  pass.piece.reset();
}

void Executor::patch(Pass& pass, ggml_tensor** where, ggml_tensor* with) {
  if (*where == with) return;
  pass.patches.push_back({where, *where});
  *where = with;
}

ggml_tensor* Executor::shown(const Weight& weight, ggml_tensor* source) {
  auto* clone = const_cast<ggml_tensor*>(&weight.clone);
  if (source == weight.tensor) return clone;
  if (source->buffer == clone->buffer) return source;  // computed into the cache's clone just now
  if (views_used_ == views_.size()) views_.emplace_back();
  ggml_tensor& view = views_[views_used_++];
  view = *source;
  view.buffer = clone->buffer;
  view.extra = nullptr;
  view.view_src = nullptr;
  view.view_offs = 0;
  view.data = static_cast<std::byte*>(clone->data) +
              (static_cast<std::byte*>(source->data) -
               static_cast<std::byte*>(weight.tensor->data));
  return &view;
}

}  // namespace gantry
