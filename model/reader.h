// Reader: a cursor over bytes that nobody vouches for. Every read is checked; the first fault
// stays, and from then on reads give zero and move nothing. So a parser reads straight on and
// asks ok() before it uses a count, allocates, or loops.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/bytes.h"
#include "base/result.h"

namespace gantry {

static_assert(std::endian::native == std::endian::little, "model files are little-endian");

// What is being read, for the message: "the length of key #3", "the type of tensor 'output'".
// Cheap to build; put into words only when something is wrong.
struct Field {
  std::string_view what;
  std::optional<uint64_t> index = std::nullopt;
  std::string_view owner = {};  // raw bytes of a name, cleaned before they are shown
  std::string text() const;
};

class Reader {
 public:
  // At most metadata_max bytes may be consumed by number(), text() and view().
  Reader(std::span<const std::byte> file, Bytes metadata_max)
      : file_(file), metadata_left_(metadata_max.n), metadata_max_(metadata_max) {}

  bool ok() const { return !error_; }
  uint64_t at() const { return at_; }
  uint64_t left() const { return file_.size() - at_; }
  uint64_t size() const { return file_.size(); }
  // Metadata only; beyond it nothing needs to be in memory.
  uint64_t metadata_read() const { return metadata_max_.n - metadata_left_; }

  template <class T>
  T number(const Field& field) {
    static_assert(std::is_arithmetic_v<T>);
    T value{};
    const std::span<const std::byte> raw = view(sizeof(T), field);
    if (raw.size() == sizeof(T)) std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  // A view into the file; it lives as long as the mapping does.
  std::span<const std::byte> view(uint64_t length, const Field& field);
  std::string_view text(uint64_t length, const Field& field);
  // Moves over tensor data without touching it.
  void pass(uint64_t length, const Field& field);

  // Records the fault unless there is one already. The remedy says how to get a good file.
  void refuse(Code code, std::string message);
  void refuse(Code code, std::string message, std::string remedy);
  Error error() const { return *error_; }  // only after !ok()

 private:
  bool room(uint64_t length, const Field& field);

  std::span<const std::byte> file_;
  uint64_t at_ = 0;
  uint64_t metadata_left_;
  Bytes metadata_max_;
  std::optional<Error> error_;
};

}  // namespace gantry
