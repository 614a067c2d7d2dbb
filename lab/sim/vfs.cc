// The in-memory VFS. Locks are not needed: the daemon is the only one, as simulated_lock sees to.
#include "lab/sim/vfs.h"

#include <sqlite3.h>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/os.h"

namespace gantry::sim {

namespace {

struct Disk {
  Fibers* fibers = nullptr;
  World* world = nullptr;
};

Disk disk;

// Shared with nobody: the first reads of a database in WAL mode come before it is taken for us
// alone.
struct Regions {
  std::vector<std::string> all;
};

struct SimFile {
  sqlite3_file base;
  File* file;
  Regions* regions;
};

File& of(sqlite3_file* handle) { return *reinterpret_cast<SimFile*>(handle)->file; }

int close_file(sqlite3_file* handle) {
  --disk.world->open_files;
  const std::unique_ptr<Regions> gone(
      std::exchange(reinterpret_cast<SimFile*>(handle)->regions, nullptr));
  return SQLITE_OK;
}

int read_at(sqlite3_file* handle, void* to, int size, sqlite3_int64 at) {
  const std::string& bytes = of(handle).now;
  const auto offset = static_cast<size_t>(at), wanted = static_cast<size_t>(size);
  const size_t there = offset >= bytes.size() ? 0 : std::min(wanted, bytes.size() - offset);
  if (there > 0) std::memcpy(to, bytes.data() + offset, there);
  if (there == wanted) return SQLITE_OK;
  std::memset(static_cast<char*>(to) + there, 0, wanted - there);
  return SQLITE_IOERR_SHORT_READ;
}

int write_at(sqlite3_file* handle, const void* from, int size, sqlite3_int64 at) {
  disk.fibers->point("pwrite");
  disk.world->written += static_cast<uint64_t>(size);
  of(handle).write(static_cast<size_t>(at),
                   {static_cast<const char*>(from), static_cast<size_t>(size)});
  return SQLITE_OK;
}

int truncate_file(sqlite3_file* handle, sqlite3_int64 size) {
  disk.fibers->point("truncate");
  of(handle).truncate(static_cast<size_t>(size));
  return SQLITE_OK;
}

int sync_file(sqlite3_file* handle, int) {
  disk.fibers->point("sync");
  of(handle).sync();
  disk.fibers->point("synced");
  return SQLITE_OK;
}

int size_of(sqlite3_file* handle, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>(of(handle).now.size());
  return SQLITE_OK;
}

int lock_nothing(sqlite3_file*, int) { return SQLITE_OK; }
int reserved(sqlite3_file*, int* out) {
  *out = 0;
  return SQLITE_OK;
}
int control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int sector(sqlite3_file*) { return 4096; }
// As SQLite assumes of Linux: bytes beside those written do not change with them.
int character(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

int map_region(sqlite3_file* handle, int nth, int size, int extend, void volatile** out) {
  auto* file = reinterpret_cast<SimFile*>(handle);
  const auto wanted = static_cast<size_t>(nth);
  *out = nullptr;
  if (file->regions == nullptr) file->regions = std::make_unique<Regions>().release();
  std::vector<std::string>& all = file->regions->all;
  if (wanted >= all.size() && extend == 0) return SQLITE_OK;
  // The pages stay where they are: a string that moves keeps what it points to.
  while (all.size() <= wanted) all.emplace_back(static_cast<size_t>(size), '\0');
  *out = all[wanted].data();
  return SQLITE_OK;
}

int lock_region(sqlite3_file*, int, int, int) { return SQLITE_OK; }
void barrier(sqlite3_file*) {}
int unmap_regions(sqlite3_file*, int) { return SQLITE_OK; }

const sqlite3_io_methods kMethods = {
    .iVersion = 2,
    .xClose = close_file,
    .xRead = read_at,
    .xWrite = write_at,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = size_of,
    .xLock = lock_nothing,
    .xUnlock = lock_nothing,
    .xCheckReservedLock = reserved,
    .xFileControl = control,
    .xSectorSize = sector,
    .xDeviceCharacteristics = character,
    .xShmMap = map_region,
    .xShmLock = lock_region,
    .xShmBarrier = barrier,
    .xShmUnmap = unmap_regions,
};

int open_file(sqlite3_vfs*, const char* path, sqlite3_file* handle, int flags, int* out) {
  if (path == nullptr) return SQLITE_CANTOPEN;  // temporary files are in memory
  auto* file = reinterpret_cast<SimFile*>(handle);
  file->file = &disk.world->files[path];
  file->regions = nullptr;
  ++disk.world->open_files;
  file->base.pMethods = &kMethods;
  if (out != nullptr) *out = flags;
  return SQLITE_OK;
}

int delete_file(sqlite3_vfs*, const char* path, int) {
  disk.fibers->point("unlink");
  disk.world->files.erase(path);
  return SQLITE_OK;
}

int access_file(sqlite3_vfs*, const char* path, int, int* out) {
  const auto found = disk.world->files.find(path);
  *out = found != disk.world->files.end() && !found->second.now.empty() ? 1 : 0;
  return SQLITE_OK;
}

int full_path(sqlite3_vfs*, const char* path, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", path);
  return SQLITE_OK;
}

// Asked for once after use_disk(); the schedule's own numbers are not touched by it.
int randomness(sqlite3_vfs*, int size, char* out) {
  Rng rng(7);
  for (int i = 0; i < size; ++i) out[i] = static_cast<char>(rng.next());
  return size;
}

int sleep_us(sqlite3_vfs*, int us) { return us; }

int julian(sqlite3_vfs*, sqlite3_int64* ms) {
  constexpr sqlite3_int64 kUnixEpoch = 210'866'760'000'000;  // in milliseconds of a Julian day
  *ms = kUnixEpoch + (disk.fibers->now() + disk.world->wall_offset).count();
  return SQLITE_OK;
}

int last_error(sqlite3_vfs*, int, char*) { return 0; }

sqlite3_vfs vfs = {
    .iVersion = 2,
    .szOsFile = sizeof(SimFile),
    .mxPathname = 512,
    .pNext = nullptr,
    .zName = "simulated",
    .pAppData = nullptr,
    .xOpen = open_file,
    .xDelete = delete_file,
    .xAccess = access_file,
    .xFullPathname = full_path,
    .xDlOpen = nullptr,
    .xDlError = nullptr,
    .xDlSym = nullptr,
    .xDlClose = nullptr,
    .xRandomness = randomness,
    .xSleep = sleep_us,
    .xCurrentTime = nullptr,
    .xGetLastError = last_error,
    .xCurrentTimeInt64 = julian,
};

}  // namespace

void install_vfs() {
  // One fiber at a time: and one that is abandoned inside SQLite must not keep a mutex of it.
  sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  sqlite3_initialize();
  sqlite3_vfs_register(&vfs, 1);
}

void use_disk(Fibers& fibers, World& world) {
  disk = {&fibers, &world};
  sqlite3_randomness(0, nullptr);  // begins anew, as a process would
}

}  // namespace gantry::sim
