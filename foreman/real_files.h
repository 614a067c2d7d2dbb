// For tests: the machine's own files and time, under processes that a test makes up.
#pragma once

#include <memory>

#include "base/os.h"

namespace gantry {

class RealFiles : public Os {
 public:
  [[nodiscard]] Result<std::string> read_file(const std::string& path, Bytes max) override {
    return real_->read_file(path, max);
  }
  [[nodiscard]] Result<std::unique_ptr<MappedFile>> map_file(const std::string& path) override {
    return real_->map_file(path);
  }
  [[nodiscard]] Result<void> read_pieces(
      const std::string& path, const std::function<void(std::string_view)>& on_piece) override {
    return real_->read_pieces(path, on_piece);
  }
  [[nodiscard]] Result<FileInfo> stat(const std::string& path) override {
    return real_->stat(path);
  }
  [[nodiscard]] Result<std::vector<std::string>> list(const std::string& dir) override {
    return real_->list(dir);
  }
  [[nodiscard]] Result<void> write_file(const std::string& path, std::string_view bytes,
                          uint32_t mode) override {
    return real_->write_file(path, bytes, mode);
  }
  [[nodiscard]] Result<void> copy_file(const std::string& from, const std::string& to) override {
    return real_->copy_file(from, to);
  }
  [[nodiscard]] Result<void> link_file(const std::string& from, const std::string& to) override {
    return real_->link_file(from, to);
  }
  [[nodiscard]] Result<void> move_file(const std::string& from, const std::string& to) override {
    return real_->move_file(from, to);
  }
  [[nodiscard]] Result<void> make_dirs(const std::string& path, uint32_t mode) override {
    return real_->make_dirs(path, mode);
  }
  [[nodiscard]] Result<void> remove(const std::string& path) override {
    return real_->remove(path);
  }
  [[nodiscard]] Result<Bytes> free_space(const std::string& path) override {
    return real_->free_space(path);
  }
  void sleep(Millis duration) override { real_->sleep(duration); }
  std::optional<std::string> env(const std::string& name) override { return real_->env(name); }
  std::string self_exe() override { return real_->self_exe(); }

 private:
  std::unique_ptr<Os> real_ = make_real_os();
};

}  // namespace gantry
