// Kept inputs.
#include "foreman/inputs.h"

#include <fmt/format.h>

#include <algorithm>

#include "foreman/sha256.h"

namespace gantry {

namespace {

constexpr size_t kHashDigits = 64;
constexpr int kLinkTries = 100;

bool is_hash(const std::string& name) {
  return name.size() == kHashDigits && std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

struct Sum {
  std::string sha256;
  Bytes size;
};

Result<Sum> sum_of(Os& os, const std::string& path) {
  Sha256 sum;
  Bytes size;
  Result<void> read = os.read_pieces(path, [&](std::string_view piece) {
    sum.add(piece);
    size += Bytes{piece.size()};
  });
  if (!read) return fail(read.error());
  return Sum{sum.hex(), size};
}

}  // namespace

Inputs::Pin::Pin(Inputs& inputs, std::string sha256)
    : inputs_(&inputs), sha256_(std::move(sha256)) {
  inputs_->pin(sha256_);
}

Inputs::Pin::~Pin() {
  if (inputs_ != nullptr) inputs_->unpin(sha256_);
}

Inputs::Inputs(Os& os, Store& store, std::string dir)
    : os_(os), store_(store), dir_(std::move(dir)) {}

Result<void> Inputs::open() {
  if (Result<void> made = os_.make_dirs(dir_, 0700); !made) return made;
  const std::lock_guard lock(mutex_);
  const Result<std::vector<std::string>> names = os_.list(dir_);
  if (!names) return fail(names.error());
  for (const std::string& name : *names) {
    if (!is_hash(name)) (void)os_.remove(path_of(name));  // of a copy that a crash broke off
  }
  sweep_locked();
  return {};
}

Result<Inputs::Pin> Inputs::keep(const std::string& path, FileIdentity* file) {
  std::string aside;
  {
    const std::lock_guard lock(mutex_);
    aside = path_of(fmt::format("new-{}", ++copies_));
  }
  Result<void> done = os_.copy_file(path, aside);
  if (!done) return fail(done.error());
  Result<Sum> sum = sum_of(os_, aside);  // of the copy: the file may be written to meanwhile
  if (!sum) {
    (void)os_.remove(aside);
    return fail(sum.error());
  }
  Pin pin(*this, sum->sha256);
  // Over one that is there, too: that may have been damaged, this one was read a moment ago.
  done = os_.move_file(aside, path_of(sum->sha256));
  if (!done) {
    (void)os_.remove(aside);
    return fail(done.error());
  }
  file->size = sum->size;
  file->sha256 = sum->sha256;
  return pin;
}

Result<void> Inputs::place(const FileIdentity& file, const std::string& path) {
  const std::string kept = path_of(file.sha256);
  const auto damaged = [&](const std::string& how) {
    return fail(Code::kCorrupt,
                fmt::format("the kept copy of {} is damaged: {} {}", base_name(file.path), kept,
                            how),
                "check the disk; submit the file with --keep again, then `gantry retry` this job");
  };
  Result<void> linked = os_.link_file(kept, path);
  // While the same bytes take its place anew, link(2) may find a file without a name.
  for (int i = 0; i < kLinkTries && !linked && os_.stat(kept); ++i) {
    linked = os_.link_file(kept, path);
  }
  if (!linked && linked.error().code == Code::kNotFound) return damaged("is gone");
  if (!linked) return linked;
  Result<Sum> sum = sum_of(os_, path);
  if (!sum) return fail(sum.error());
  if (sum->size != file.size) {
    return damaged(fmt::format("has {} bytes of {}", sum->size.n, file.size.n));
  }
  if (sum->sha256 != file.sha256) return damaged("has other bytes");
  return {};
}

void Inputs::let_go(const std::vector<std::string>& hashes) {
  const std::lock_guard lock(mutex_);
  for (const std::string& sha256 : hashes) {
    if (!sha256.empty()) drop_locked(sha256);
  }
}

void Inputs::begin_stay() {
  const std::lock_guard lock(mutex_);
  ++stays_;
}

void Inputs::end_stay() {
  const std::lock_guard lock(mutex_);
  if (--stays_ == 0) sweep_locked();
}

void Inputs::pin(const std::string& sha256) {
  const std::lock_guard lock(mutex_);
  ++pins_[sha256];
}

void Inputs::unpin(const std::string& sha256) {
  const std::lock_guard lock(mutex_);
  if (--pins_[sha256] > 0) return;
  pins_.erase(sha256);
  drop_locked(sha256);
}

// Whoever pins it waits for the lock until it is gone, and then puts it there anew.
void Inputs::drop_locked(const std::string& sha256) {
  if (stays_ > 0 || pins_.contains(sha256)) return;
  const Result<bool> needed = store_.needs_input(sha256);
  if (needed && !*needed) (void)os_.remove(path_of(sha256));
}

void Inputs::sweep_locked() {
  const Result<std::vector<std::string>> names = os_.list(dir_);
  if (!names) return;
  for (const std::string& name : *names) {
    if (is_hash(name)) drop_locked(name);
  }
}

}  // namespace gantry
