// Bounds checks of the cursor, and their messages.
#include "model/reader.h"

#include <fmt/format.h>

#include "model/text.h"

namespace gantry {

std::string Field::text() const {
  std::string out(what);
  if (index) out += fmt::format(" #{}", *index);
  if (!owner.empty()) out += " of " + quoted(owner);
  return out;
}

bool Reader::room(uint64_t length, const Field& field) {
  if (error_) return false;
  if (length <= left()) return true;
  refuse(Code::kCorrupt, fmt::format("{} at offset {} needs {} bytes, but the file ends after {}",
                                     field.text(), at_, length, left()));
  return false;
}

std::span<const std::byte> Reader::view(uint64_t length, const Field& field) {
  if (!room(length, field)) return {};
  if (length > metadata_left_) {
    refuse(Code::kTooLarge, fmt::format("{} at offset {} takes the metadata over {}", field.text(),
                                        at_, format_bytes(metadata_max_)));
    return {};
  }
  const std::span<const std::byte> found = file_.subspan(at_, length);
  at_ += length;
  metadata_left_ -= length;
  return found;
}

std::string_view Reader::text(uint64_t length, const Field& field) {
  const std::span<const std::byte> raw = view(length, field);
  return {reinterpret_cast<const char*>(raw.data()), raw.size()};
}

void Reader::pass(uint64_t length, const Field& field) {
  if (room(length, field)) at_ += length;
}

void Reader::refuse(Code code, std::string message) {
  refuse(code, std::move(message),
         code == Code::kUnsupported ? "convert the model again with a current converter"
                                    : "the file is damaged or not a model: fetch it again");
}

void Reader::refuse(Code code, std::string message, std::string remedy) {
  if (!error_) error_ = Error{code, std::move(message), std::move(remedy)};
}

}  // namespace gantry
