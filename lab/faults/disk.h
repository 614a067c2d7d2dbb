// A disk that loses what was not synced: built from the shim's journal, it gives the files that a
// power loss may leave behind.
//
// The model is stricter than today's file systems: a file's sync keeps the file's bytes and no
// name; a name is kept by the sync of its folder alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "lab/faults/shim.h"

namespace gantry::faults {

enum class Loss {
  kAll,    // only what was synced is there
  kNone,   // everything is there, as after a kill
  kPages,  // of the unsynced pages some are there, one of them torn
  kNames   // all bytes are there, of the unsynced names some
};
inline constexpr Loss kLosses[] = {Loss::kAll, Loss::kNone, Loss::kPages, Loss::kNames};

// Paths to bytes, and the folders among them (with a '/' at the end).
using Image = std::map<std::string, std::string>;

class Disk {
 public:
  // `root` and what is in it are kept already.
  explicit Disk(const std::string& root);
  void apply(const FaultRecord& record, const char* bytes);
  Image after(Loss loss, Rng& rng) const;

 private:
  using FileId = size_t;
  static constexpr FileId kAFolder = static_cast<FileId>(-1);
  static constexpr FileId kNothing = static_cast<FileId>(-2);
  struct File {
    std::string kept, now;
    bool dirty = false;
  };
  // One change of names in a folder; a rename changes two together.
  struct Change {
    std::vector<std::pair<std::string, FileId>> names;
  };
  struct Names {
    std::map<std::string, FileId> kept;
    std::vector<Change> open;
  };
  void load(const std::string& folder);
  FileId add_file(uint64_t inode, std::string bytes);
  void change(const std::string& path, FileId what);
  FileId find(const std::string& path) const;
  File& file_of(uint64_t inode);
  static void apply_to(std::map<std::string, FileId>& names, const Change& change);
  std::map<std::string, FileId> names_after(const Names& names, Loss loss, Rng& rng) const;
  static std::string bytes_after(const File& file, Loss loss, Rng& rng);
  void fill(const std::string& folder, Loss loss, Rng& rng, Image& image) const;

  std::string root_;
  std::vector<File> files_;
  std::map<uint64_t, FileId> by_inode_;
  std::map<std::string, Names> folders_;  // by path
};

// Calls `see` with every record of a journal, in order.
template <class See>
void each_record(const char* journal, uint64_t used, const See& see) {
  for (uint64_t at = 0; at + sizeof(FaultRecord) <= used;) {
    const auto* record = reinterpret_cast<const FaultRecord*>(journal + at);
    see(*record, journal + at + sizeof(FaultRecord));
    at += (sizeof(FaultRecord) + record->size + 7) / 8 * 8;
  }
}

// Makes the folder hold the image and nothing else. Paths of the image are under `from`.
void write_image(const Image& image, const std::string& from, const std::string& to);

}  // namespace gantry::faults
