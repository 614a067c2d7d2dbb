// Judging a store by what was said of it.
#include "lab/faults/history.h"

#include <filesystem>
#include <sstream>

#include "base/os.h"
#include "foreman/database.h"
#include "foreman/schema.h"
#include "foreman/sha256.h"

namespace gantry::faults {

namespace {

int64_t token_of(const std::string& result_file) {
  const size_t dot = result_file.rfind('.');
  return dot == std::string::npos ? 0 : std::atoll(result_file.c_str() + dot + 1);
}

struct Row {
  std::string id, state, sha256, file;
  int64_t token = 0;
};

Result<std::vector<Row>> rows_of(const Database& database) {
  std::vector<Row> rows;
  Statement query = database.prepare(
      "SELECT id, state, coalesce(result_sha256,''), coalesce(result_file,''), token FROM jobs",
      "read the jobs");
  for (;;) {
    Result<bool> more = query.next();
    if (!more) return fail(more.error());
    if (!*more) return rows;
    rows.push_back({query.text(0), query.text(1), query.text(2), query.text(3), query.integer(4)});
  }
}

std::string first_text(const Database& database, const char* sql) {
  Statement query = database.prepare(sql, "look");
  const Result<bool> row = query.next();
  return row && *row ? query.text(0) : row ? "" : row.error().message;
}

void check_row(Os& os, const std::string& dir, const Row& row, History& history) {
  if (history.done.contains(row.id)) {
    if (row.state != "done") history.faults.push_back(row.id + " was done and is " + row.state);
    if (row.sha256 != history.done[row.id]) {
      history.faults.push_back(row.id + " has a second result");
    }
  }
  if (history.cancelled.contains(row.id) && row.state != "cancelled") {
    history.faults.push_back(row.id + " was cancelled and is " + row.state);
  }
  if (row.state != "done") return;
  const std::string file = dir + "/state/jobs/" + row.id + "/" + row.file;
  const Result<std::string> bytes = os.read_file(file, MiB(64));
  if (!bytes) {
    history.faults.push_back("a result is lost: " + bytes.error().message);
  } else if (sha256_hex(*bytes) != row.sha256) {
    history.faults.push_back("a result is not what was recorded: " + file);
  }
}

void check_rows(Os& os, const std::string& dir, const Database& database, History& history) {
  const Result<std::vector<Row>> rows = rows_of(database);
  if (!rows) {
    history.faults.push_back(rows.error().message);
    return;
  }
  std::set<std::string> there;
  for (const Row& row : *rows) {
    there.insert(row.id);
    check_row(os, dir, row, history);
    history.token = std::max(history.token, row.token);
  }
  for (const std::string& id : history.acknowledged) {
    if (!there.contains(id)) history.faults.push_back(id + " is lost");
  }
}

}  // namespace

void History::new_life() {
  cancelled_before_ = cancelled;
  ended = false;
  error.clear();
  refused.clear();
}

void History::read(const std::string& line) {
  std::istringstream words(line);
  std::string what, id, first, second;
  words >> what >> id >> first >> second;
  if (what == "ack") acknowledged.insert(id);
  if (what == "run" && done.contains(id)) faults.push_back(id + " ran again after it was done");
  if (what == "run" && cancelled_before_.contains(id)) {
    faults.push_back(id + " ran after it was cancelled");
  }
  if (what == "done") {
    if (done.contains(id) && done[id] != first) faults.push_back(id + " has two results");
    if (cancelled.contains(id)) faults.push_back(id + " was cancelled and is done");
    done[id] = first;
    token = std::max(token, token_of(second));
  }
  if (what == "failed") failed[id] = first;
  if (what == "cancelled") cancelled.insert(id);
  if (what == "refused") refused = id;
  if (what == "error") error = line.substr(6);
  if (what == "stuck") faults.push_back("jobs are stuck");
  if (what == "end") ended = true;
}

void History::read_all(const std::string& text) {
  size_t at = 0;
  for (size_t end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    read(text.substr(at, end - at));
  }
}

void check_store(const std::string& dir, History& history) {
  namespace fs = std::filesystem;
  const std::unique_ptr<Os> os = make_real_os();
  const std::string store = dir + "/state/gantry.db";
  const std::string copy = dir + "/copy";
  if (!fs::exists(store)) {
    if (!history.acknowledged.empty()) history.faults.push_back("the database is gone");
    return;
  }
  fs::create_directories(copy);
  for (const char* end : {"", "-wal", "-journal"}) {
    if (fs::exists(store + end)) fs::copy_file(store + end, copy + "/gantry.db" + end);
  }
  {
    Result<std::unique_ptr<Database>> database =
        Database::open(copy + "/gantry.db", {job_schema(), 0});
    if (!database) {
      history.faults.push_back("the database does not open: " + database.error().message);
    } else {
      const std::string sound = first_text(**database, "PRAGMA integrity_check");
      if (sound != "ok") history.faults.push_back("the database is damaged: " + sound);
      const std::string loose = first_text(**database, "PRAGMA foreign_key_check");
      if (!loose.empty()) history.faults.push_back("a row without its job in " + loose);
      const int64_t epoch = std::atoll(
          first_text(**database, "SELECT value FROM meta WHERE key='token_epoch'").c_str());
      if (epoch < history.token >> 32) history.faults.push_back("the token epoch fell");
      check_rows(*os, dir, **database, history);
    }
  }
  fs::remove_all(copy);
}

}  // namespace gantry::faults
