// Replaying a journal, losing what may be lost.
#include "lab/faults/disk.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/os.h"

namespace gantry::faults {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kSector = 512;

std::string read_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

}  // namespace

Disk::Disk(const std::string& root) : root_(root) { load(root); }

void Disk::load(const std::string& folder) {
  Names& names = folders_[folder];
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (entry.is_directory()) {
      names.kept[base_name(path)] = kAFolder;
      load(path);
      continue;
    }
    struct stat st{};
    if (::stat(path.c_str(), &st) != 0) continue;
    names.kept[base_name(path)] = add_file(st.st_ino, read_whole(path));
  }
}

Disk::FileId Disk::add_file(uint64_t inode, std::string bytes) {
  files_.push_back({bytes, std::move(bytes), false});
  by_inode_[inode] = files_.size() - 1;
  return files_.size() - 1;
}

Disk::File& Disk::file_of(uint64_t inode) {
  const auto known = by_inode_.find(inode);
  return files_[known == by_inode_.end() ? add_file(inode, "") : known->second];
}

void Disk::change(const std::string& path, FileId what) {
  folders_[dir_name(path)].open.push_back({{{base_name(path), what}}});
}

Disk::FileId Disk::find(const std::string& path) const {
  const auto folder = folders_.find(dir_name(path));
  if (folder == folders_.end()) return kNothing;
  std::map<std::string, FileId> now = folder->second.kept;
  for (const Change& change : folder->second.open) apply_to(now, change);
  const auto name = now.find(base_name(path));
  return name == now.end() ? kNothing : name->second;
}

void Disk::apply_to(std::map<std::string, FileId>& names, const Change& change) {
  for (const auto& [name, what] : change.names) {
    if (what == kNothing) {
      names.erase(name);
    } else {
      names[name] = what;
    }
  }
}

void Disk::apply(const FaultRecord& record, const char* bytes) {
  const std::string text(bytes, record.kind == kRecordWrite ? 0 : record.size);
  switch (record.kind) {
    case kRecordCreate: change(text, add_file(record.inode, "")); break;
    case kRecordWrite: {
      File& file = file_of(record.inode);
      const auto at = static_cast<size_t>(record.at);
      if (file.now.size() < at + record.size) file.now.resize(at + record.size, '\0');
      file.now.replace(at, record.size, bytes, record.size);
      file.dirty = true;
      break;
    }
    case kRecordSync: {
      File& file = file_of(record.inode);
      if (file.dirty) file.kept = file.now;
      file.dirty = false;
      break;
    }
    case kRecordTruncate: {
      File& file = file_of(record.inode);
      file.now.resize(static_cast<size_t>(record.at), '\0');
      file.dirty = true;
      break;
    }
    case kRecordRename: {
      const std::string from = text.substr(0, text.find('\0'));
      const std::string to = text.substr(from.size() + 1);
      const FileId what = find(from);
      if (dir_name(from) == dir_name(to)) {
        folders_[dir_name(to)].open.push_back(
            {{{base_name(to), what}, {base_name(from), kNothing}}});
      } else {  // two folders, two syncs
        change(to, what);
        change(from, kNothing);
      }
      break;
    }
    case kRecordUnlink:
    case kRecordDropFolder: change(text, kNothing); break;
    case kRecordMakeFolder:
      folders_[text] = {};
      change(text, kAFolder);
      break;
    case kRecordSyncFolder: {
      Names& names = folders_[text];
      for (const Change& change : names.open) apply_to(names.kept, change);
      names.open.clear();
      break;
    }
    default: break;
  }
}

std::map<std::string, Disk::FileId> Disk::names_after(const Names& names, Loss loss,
                                                      Rng& rng) const {
  std::map<std::string, FileId> out = names.kept;
  for (const Change& change : names.open) {
    const bool kept = loss == Loss::kNames ? rng.below(2) == 0 : loss != Loss::kAll;
    if (kept) apply_to(out, change);
  }
  return out;
}

// Of the pages that differ some are new and one is torn; the length is the old one or the new one.
std::string Disk::bytes_after(const File& file, Loss loss, Rng& rng) {
  if (!file.dirty || loss == Loss::kNone || loss == Loss::kNames) return file.now;
  if (loss == Loss::kAll) return file.kept;
  const size_t size = rng.below(2) == 0 ? file.kept.size() : file.now.size();
  std::string out = file.kept, now = file.now;
  out.resize(size, '\0');
  now.resize(size, '\0');
  std::vector<size_t> taken;
  for (size_t at = 0; at < size; at += kPage) {
    if (out.compare(at, kPage, now, at, kPage) != 0 && rng.below(2) == 0) taken.push_back(at);
  }
  const size_t torn = taken.empty() ? 0 : taken[rng.below(taken.size())];
  for (const size_t at : taken) {
    const size_t most = at == torn ? kSector * (1 + rng.below(kPage / kSector - 1)) : kPage;
    const size_t length = std::min(most, size - at);
    out.replace(at, length, now, at, length);
  }
  return out;
}

void Disk::fill(const std::string& folder, Loss loss, Rng& rng, Image& image) const {
  image[folder + "/"] = "";
  const auto known = folders_.find(folder);
  if (known == folders_.end()) return;
  for (const auto& [name, what] : names_after(known->second, loss, rng)) {
    const std::string path = join_path(folder, name);
    if (what == kAFolder) {
      fill(path, loss, rng, image);
    } else if (what != kNothing) {
      image[path] = bytes_after(files_[what], loss, rng);
    }
  }
}

Image Disk::after(Loss loss, Rng& rng) const {
  Image image;
  fill(root_, loss, rng, image);
  return image;
}

void write_image(const Image& image, const std::string& from, const std::string& to) {
  std::filesystem::remove_all(to);
  for (const auto& [path, bytes] : image) {
    const std::string target = to + path.substr(from.size());
    if (path.ends_with('/')) {
      std::filesystem::create_directories(target);
    } else {
      std::ofstream(target, std::ios::binary) << bytes;
    }
  }
}

}  // namespace gantry::faults
