// SQLite behind values: the only place that sees sqlite3.h. Not thread-safe: one owner (the store).
//
// Journal: write-ahead log with synchronous=FULL, so that a commit is one append and one sync, and
// locking_mode=EXCLUSIVE, so that the log's index lives in our memory and no second connection can
// exist (releases before 3.51.3 can corrupt a log that two connections reset). A rollback journal
// would need two or three syncs a commit, and EXTRA to survive a power loss after the unlink.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace gantry {

// Forward only. A released migration is never edited: a change is a new one.
struct Migration {
  int64_t version;  // 1, 2, 3, ...
  const char* sql;
};

struct DatabaseOptions {
  std::span<const Migration> migrations;
  int64_t pages_max = 0;  // 0: SQLite's own limit; tests stand in for a full disk with it
};

// One statement. The first failure sticks, so that binds need no checks of their own.
class Statement {
 public:
  Statement(sqlite3* db, std::string_view sql, std::string doing);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int64_t value);
  Statement& bind(std::string_view value);
  Statement& bind_real(double value);
  Statement& bind_null();
  [[nodiscard]] Result<bool> next();  // true: there is a row to read
  [[nodiscard]] Result<void> run();   // to the end, rows ignored

  int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;  // NULL reads as ""
  bool is_null(int column) const;

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
  std::string doing_;  // for the error message
  int failed_ = 0;
  int bound_ = 0;
};

class Database {
 public:
  // Makes the file (mode 0600) when it is not there, and brings it to the newest version.
  // kCorrupt: not ours or damaged; kUnsupported: from a newer version; kPermission; kDiskFull.
  [[nodiscard]] static Result<std::unique_ptr<Database>> open(const std::string& path,
                                                              const DatabaseOptions& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  Statement prepare(std::string_view sql, std::string doing) const;
  [[nodiscard]] Result<void> run(const char* sql, const std::string& doing) const;
  int64_t changes() const;     // rows changed by the last statement
  int64_t last_rowid() const;
  // `body` inside one transaction: committed (and synced) when it returns no error.
  [[nodiscard]] Result<void> transact(const std::string& doing,
                                      const std::function<Result<void>()>& body) const;
  int64_t version() const { return version_; }

 private:
  Database() = default;
  [[nodiscard]] Result<void> set_up(const DatabaseOptions& options);
  [[nodiscard]] Result<void> check_small() const;  // pages in order, where that is quick
  [[nodiscard]] Result<void> migrate(std::span<const Migration> migrations);

  sqlite3* db_ = nullptr;
  std::string path_;
  int64_t version_ = 0;
};

}  // namespace gantry
