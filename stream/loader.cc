// Images on their way: requests to the reader, staging, and what arrives.
#include "stream/loader.h"

#include <algorithm>
#include <utility>

namespace gantry {

Result<std::unique_ptr<Loader>> Loader::make(const Options& options, const Inner& inner,
                                             std::vector<const DirectFile*> files,
                                             StatsPage& stats, Trace& trace) {
  std::unique_ptr<Loader> loader(new Loader(inner, std::move(files), stats, trace));
  auto made = make_reader(options.reader);
  if (!made) return fail(made.error());
  loader->reader_ = std::move(made->reader);
  if (options.staging_buffers > 0) {
    auto staging = inner.allocate_pinned(options.staging_bytes * options.staging_buffers);
    if (!staging) return fail(staging.error());
    loader->staging_ = std::move(*staging);
    loader->buffer_bytes_ = options.staging_bytes;
    for (size_t i = 0; i < options.staging_buffers; i++) loader->free_buffers_.push_back(i);
  }
  return loader;
}

void Loader::begin(LoadJob job) {
  const uint64_t id = ++last_id_;
  State& state = jobs_[id];
  state.job = std::move(job);
  state.began = std::chrono::steady_clock::now();
  const auto& parts = *state.job.parts;
  for (size_t i = 0; i < parts.size(); i++) {
    if (parts[i].source.file >= 0) continue;
    state.job.sink(i, 0, parts[i].source.host, parts[i].bytes);
    state.bytes += parts[i].bytes;
  }
  order_.push_back(id);
  submit_all();
}

bool Loader::submit_one(State& state, const Request& request, std::byte* to) {
  const Run& run = state.job.image->runs[request.run];
  const auto& file = *files_[static_cast<size_t>(run.file)];
  const uint64_t id = ++last_id_;
  ReadRequest read;
  read.fd = file.fd();
  read.offset = run.offset + request.from;
  read.to = to;
  read.bytes = request.bytes;
  read.needed = std::min<uint64_t>(request.bytes, run.needed - request.from);
  read.tag = id;
  read.direct = file.direct();
  if (const auto ok = reader_->submit(read); !ok) {
    if (ok.error().code != Code::kBusy) state.result = fail(ok.error());
    return ok.error().code != Code::kBusy;
  }
  requests_[id] = request;
  state.open++;
  return true;
}

// False: the reader or the staging is full for now.
bool Loader::submit_some(State& state) {
  const auto& runs = state.job.image->runs;
  const uint64_t id = order_.front();
  while (state.next_run < runs.size() && state.result) {
    const Run& run = runs[state.next_run];
    if (state.job.direct != nullptr) {
      if (!submit_one(state, {id, state.next_run, 0, run.bytes, SIZE_MAX},
                      state.job.direct + run.at)) {
        return false;
      }
      state.next_run++;
      continue;
    }
    if (free_buffers_.empty()) return false;
    const size_t buffer = free_buffers_.back();
    const uint64_t bytes = std::min(buffer_bytes_, run.bytes - state.next_byte);
    const size_t open = state.open;
    if (!submit_one(state, {id, state.next_run, state.next_byte, bytes, buffer},
                    staging_.aligned() + buffer * buffer_bytes_)) {
      return false;
    }
    if (state.open > open) free_buffers_.pop_back();
    state.next_byte += bytes;
    if (state.next_byte >= run.needed) {
      state.next_run++;
      state.next_byte = 0;
    }
  }
  state.submitted = true;
  return true;
}

void Loader::submit_all() {
  while (!order_.empty()) {
    if (!submit_some(jobs_.at(order_.front()))) return;
    order_.pop_front();
  }
}

// Hands the bytes of a staged read to the sink, part by part.
void Loader::deliver(const State& state, const Request& request, const std::byte* data) const {
  const Run& run = state.job.image->runs[request.run];
  const uint64_t from = run.offset + request.from;
  const uint64_t to = from + request.bytes;
  const auto& parts = *state.job.parts;
  for (size_t i = 0; i < parts.size(); i++) {
    const Source& source = parts[i].source;
    if (source.file != run.file) continue;
    const uint64_t first = std::max(from, source.offset);
    const uint64_t last = std::min(to, source.offset + parts[i].bytes);
    if (first < last) {
      state.job.sink(i, first - source.offset, data + (first - from),
                     static_cast<size_t>(last - first));
    }
  }
}

void Loader::finish(const ReadDone& done) {
  const auto at = requests_.find(done.tag);
  if (at == requests_.end()) return;
  const Request request = at->second;
  requests_.erase(at);
  State& state = jobs_.at(request.job);
  state.open--;
  if (!done.bytes) {
    Error error = done.bytes.error();
    const Run& run = state.job.image->runs[request.run];
    error.message = files_[static_cast<size_t>(run.file)]->path() + ": " + error.message;
    if (state.result) state.result = fail(std::move(error));
  } else {
    state.bytes += request.bytes;
    if (request.buffer != SIZE_MAX && state.result) {
      deliver(state, request, staging_.aligned() + request.buffer * buffer_bytes_);
    }
  }
  if (request.buffer != SIZE_MAX) free_buffers_.push_back(request.buffer);
}

void Loader::count() {
  const auto now = reader_->stats();
  const auto busy = static_cast<uint64_t>(now.busy.count());
  stats_.disk_bytes += now.bytes - counted_bytes_;
  stats_.disk_ns += busy - counted_ns_;
  counted_bytes_ = now.bytes;
  counted_ns_ = busy;
}

std::optional<LoadDone> Loader::take_done() {
  for (auto& [id, state] : jobs_) {
    const bool failed = !state.result.has_value();
    if (state.open > 0 || (!state.submitted && !failed)) continue;
    if (failed && !state.submitted) std::erase(order_, id);
    // Written while we read it: the bytes may be of two states of the file.
    for (const Run& run : state.job.image->runs) {
      if (!state.result) break;
      state.result = files_[static_cast<size_t>(run.file)]->unchanged();
    }
    if (trace_.on() && !state.job.image->runs.empty()) {
      trace_.add(TraceRow::kDisk, state.job.name, state.began, std::chrono::steady_clock::now(),
                 state.bytes);
    }
    LoadDone done{state.job.tag, std::move(state.result)};
    jobs_.erase(id);
    count();
    submit_all();
    return done;
  }
  return std::nullopt;
}

std::optional<LoadDone> Loader::step(std::chrono::nanoseconds timeout) {
  if (auto done = take_done()) return done;
  if (auto read = reader_->next(timeout)) {
    finish(*read);
    while (auto more = reader_->next(std::chrono::nanoseconds{0})) finish(*more);
    submit_all();
  }
  return take_done();
}

Result<void> Loader::load(LoadJob job) {
  begin(std::move(job));
  for (;;) {
    if (auto done = step(std::chrono::seconds{1})) return done->result;
  }
}

}  // namespace gantry
