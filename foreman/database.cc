// The SQLite connection: opening, migrating, errors with remedies.
#include "foreman/database.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

#include "base/os.h"

namespace gantry {

namespace {

// "Gntr": a SQLite file of another program is refused before anything is written to it.
constexpr int64_t kApplicationId = 0x476e7472;

Error database_error(sqlite3* db, int rc, const std::string& doing) {
  const char* file = db == nullptr ? nullptr : sqlite3_db_filename(db, "main");
  const std::string path = file == nullptr ? "the job database" : file;
  const std::string cause = fmt::format("cannot {} ({}: {})", doing, path, sqlite3_errstr(rc));
  switch (rc & 0xff) {
    case SQLITE_FULL:
      return {Code::kDiskFull, cause, "free some space in " + dir_name(path)};
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return {Code::kPermission, cause,
              "make the folder and its files writable for this user, or name another --state-dir"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {Code::kCorrupt, cause,
              fmt::format("restore a backup, or move {} and {}-wal aside to start empty; results "
                          "already made stay under {}/jobs",
                          path, path, dir_name(path))};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::kBusy, cause, "close the other program that has the file open"};
    case SQLITE_IOERR:
      return {Code::kIo, cause, "check the disk under " + dir_name(path)};
    case SQLITE_NOMEM:
      return {Code::kUnavailable, cause, "free some memory"};
    default:
      return {Code::kInternal, cause};
  }
}

[[noreturn]] void out_of_memory() {
  if (const std::new_handler handler = std::get_new_handler()) handler();
  std::abort();
}

// Larger databases are not read through at the start, which has to take a tenth of a second.
constexpr int64_t kCheckedMax = 32 << 20;

constexpr const char* kVersionTable =
    "CREATE TABLE IF NOT EXISTS schema_versions("
    "  version INTEGER PRIMARY KEY,"
    "  applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ','now'))) STRICT";

}  // namespace

Statement::Statement(sqlite3* db, std::string_view sql, std::string doing)
    : db_(db), doing_(std::move(doing)) {
  failed_ = sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr);
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int64_t value) {
  if (failed_ == SQLITE_OK) failed_ = sqlite3_bind_int64(statement_, ++bound_, value);
  return *this;
}

Statement& Statement::bind(std::string_view value) {
  if (failed_ == SQLITE_OK) {
    // A null pointer would bind NULL; an empty text is meant.
    failed_ = sqlite3_bind_text64(statement_, ++bound_, value.empty() ? "" : value.data(),
                                  value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  return *this;
}

Statement& Statement::bind_real(double value) {
  if (failed_ == SQLITE_OK) failed_ = sqlite3_bind_double(statement_, ++bound_, value);
  return *this;
}

Statement& Statement::bind_null() {
  if (failed_ == SQLITE_OK) failed_ = sqlite3_bind_null(statement_, ++bound_);
  return *this;
}

Result<bool> Statement::next() {
  if (failed_ == SQLITE_OK) {
    const int rc = sqlite3_step(statement_);
    if (rc == SQLITE_ROW) return true;
    if (rc == SQLITE_DONE) return false;
    failed_ = rc;
  }
  return fail(database_error(db_, failed_, doing_));
}

Result<void> Statement::run() {
  for (;;) {
    Result<bool> row = next();
    if (!row) return fail(row.error());
    if (!*row) return {};
  }
}

int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }

std::string Statement::text(int column) const {
  if (is_null(column)) return {};
  const unsigned char* data = sqlite3_column_text(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  // SQLite found no memory to end the text with a zero. An empty one in its place would be a job
  // without a name, which no cancel finds: what `new` does then is done here.
  if (data == nullptr) out_of_memory();
  return {reinterpret_cast<const char*>(data), static_cast<size_t>(size)};
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path,
                                                 const DatabaseOptions& options) {
  // SQLite would create the file with the umask's mode; jobs are their owner's business.
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return fail(os_error("cannot open the job database " + path, errno));
  ::close(fd);

  std::unique_ptr<Database> database(new Database());
  database->path_ = path;
  const int rc = sqlite3_open_v2(path.c_str(), &database->db_,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (rc != SQLITE_OK) return fail(database_error(database->db_, rc, "open the job database"));
  sqlite3_extended_result_codes(database->db_, 1);
  if (Result<void> ready = database->set_up(options); !ready) return fail(ready.error());
  return database;
}

Database::~Database() { sqlite3_close(db_); }

Result<void> Database::set_up(const DatabaseOptions& options) {
  const std::string doing = "open the job database";
  int64_t application = 0, objects = 0;
  {
    Statement id = prepare("PRAGMA application_id", doing);
    if (Result<bool> row = id.next(); !row) return fail(row.error());
    application = id.integer(0);
    Statement count = prepare("SELECT count(*) FROM sqlite_schema", doing);
    if (Result<bool> row = count.next(); !row) return fail(row.error());
    objects = count.integer(0);
  }
  if (application != kApplicationId && objects > 0) {
    return fail(Code::kCorrupt, path_ + " is a database of another program",
                "name another --state-dir");
  }
  // Explained in the header.
  Result<void> done = run(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
      "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
      "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2000; PRAGMA journal_size_limit=4194304",
      doing);
  if (!done) return done;
  if (options.pages_max > 0) {
    done = run(fmt::format("PRAGMA max_page_count={}", options.pages_max).c_str(), doing);
    if (!done) return done;
  }
  if (application != kApplicationId) {
    done = run(fmt::format("PRAGMA application_id={}", kApplicationId).c_str(), doing);
    if (!done) return done;
  }
  if (Result<void> sound = check_small(); !sound) return sound;
  if (Result<void> migrated = migrate(options.migrations); !migrated) return migrated;
  // Only now: a migration that makes a table anew drops the old one while others refer to it.
  return run("PRAGMA foreign_keys=ON", doing);
}

Result<void> Database::check_small() const {
  const std::string doing = "check the job database";
  Statement size =
      prepare("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", doing);
  if (Result<bool> row = size.next(); !row) return fail(row.error());
  if (size.integer(0) > kCheckedMax) return {};
  Statement check = prepare("PRAGMA quick_check(1)", doing);
  if (Result<bool> row = check.next(); !row) return fail(row.error());
  if (check.text(0) == "ok") return {};
  Error error = database_error(db_, SQLITE_CORRUPT, doing);
  error.message += ": " + check.text(0);
  return fail(std::move(error));
}

Result<void> Database::migrate(std::span<const Migration> migrations) {
  const std::string doing = "bring the job database to this version";
  if (Result<void> made = run(kVersionTable, doing); !made) return made;
  {
    Statement newest = prepare("SELECT coalesce(max(version),0) FROM schema_versions", doing);
    if (Result<bool> row = newest.next(); !row) return fail(row.error());
    version_ = newest.integer(0);
  }
  const int64_t known = migrations.empty() ? 0 : migrations.back().version;
  if (version_ > known) {
    return fail(Code::kUnsupported,
                fmt::format("{} was written by a newer version (schema {}, this program knows {})",
                            path_, version_, known),
                "upgrade this program, or name another --state-dir");
  }
  for (const Migration& migration : migrations) {
    if (migration.version <= version_) continue;
    Result<void> done = transact(doing, [&]() -> Result<void> {
      if (Result<void> changed = run(migration.sql, doing); !changed) return changed;
      return prepare("INSERT INTO schema_versions(version) VALUES(?)", doing)
          .bind(migration.version)
          .run();
    });
    if (!done) return done;
    version_ = migration.version;
  }
  return {};
}

Statement Database::prepare(std::string_view sql, std::string doing) const {
  return {db_, sql, std::move(doing)};
}

Result<void> Database::run(const char* sql, const std::string& doing) const {
  const int rc = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return fail(database_error(db_, rc, doing));
  return {};
}

int64_t Database::changes() const { return sqlite3_changes64(db_); }
int64_t Database::last_rowid() const { return sqlite3_last_insert_rowid(db_); }

Result<void> Database::transact(const std::string& doing,
                                const std::function<Result<void>()>& body) const {
  const auto end_open = [&]() -> Result<void> {
    if (sqlite3_get_autocommit(db_) != 0) return {};
    return run("ROLLBACK", doing);
  };
  // Without memory a BEGIN may fail that began, and a ROLLBACK that ends nothing: what they left
  // open would refuse every later transaction.
  if (Result<void> ended = end_open(); !ended) return ended;
  Result<void> done = run("BEGIN IMMEDIATE", doing);
  if (done) done = body();
  if (done) done = run("COMMIT", doing);
  // A failed commit may or may not have ended the transaction by itself. If this fails, the next
  // one begins with it.
  if (!done) (void)end_open();
  return done;
}

}  // namespace gantry
