// The store's history of loads.
#include <fmt/format.h>

#include "base/limits.h"
#include "foreman/database.h"
#include "foreman/store.h"

namespace gantry {

namespace {

constexpr std::string_view kDoing = "record a load";

void bind_optional(Statement& row, const std::optional<double>& value) {
  if (value) {
    row.bind_real(*value);
  } else {
    row.bind_null();
  }
}

std::optional<double> real_or_none(const Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return row.real(column);
}

Result<void> write_bytes(const Database& database, int64_t id, const LoadSeen& load) {
  for (const LoadBytes& bytes : load.bytes) {
    Statement row = database.prepare(
        "INSERT INTO load_bytes(load, device, predicted, measured) VALUES(?,?,?,?)"
        " ON CONFLICT(load, device) DO UPDATE SET measured=excluded.measured",
        std::string(kDoing));
    row.bind(id).bind(bytes.device).bind(static_cast<int64_t>(bytes.predicted.n));
    if (bytes.measured) {
      row.bind(static_cast<int64_t>(bytes.measured->n));
    } else {
      row.bind_null();
    }
    if (Result<void> written = row.run(); !written) return written;
  }
  return {};
}

// The oldest beyond the limits go.
Result<void> trim(const Database& database, const std::string& model) {
  Result<void> gone =
      database
          .prepare("DELETE FROM loads WHERE model=?1 AND id <= (SELECT id FROM loads WHERE model=?1"
                   " ORDER BY id DESC LIMIT 1 OFFSET ?2)", std::string(kDoing))
          .bind(model).bind(int64_t{kLoadsKept}).run();
  if (!gone) return gone;
  return database
      .prepare("DELETE FROM loads WHERE id <= (SELECT id FROM loads ORDER BY id DESC LIMIT 1"
               " OFFSET ?)", std::string(kDoing))
      .bind(int64_t{kLoadsKeptAll}).run();
}

Result<std::vector<LoadBytes>> read_bytes(const Database& database, int64_t id) {
  std::vector<LoadBytes> all;
  Statement row = database.prepare(
      "SELECT device, predicted, measured FROM load_bytes WHERE load=? ORDER BY device",
      "read a load");
  row.bind(id);
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return all;
    LoadBytes bytes{row.text(0), Bytes{static_cast<uint64_t>(row.integer(1))}, std::nullopt};
    if (!row.is_null(2)) bytes.measured = Bytes{static_cast<uint64_t>(row.integer(2))};
    all.push_back(std::move(bytes));
  }
}

const char* condition_of(Store::LoadsOf which) {
  switch (which) {
    case Store::LoadsOf::kAll: return "?1=?1";
    case Store::LoadsOf::kModel: return "model=?1";
    case Store::LoadsOf::kFingerprint: return "fingerprint=?1";
    case Store::LoadsOf::kLastOfEach:
      return "?1=?1 AND id IN (SELECT max(id) FROM loads GROUP BY model)";
  }
  return "0";
}

}  // namespace

Result<int64_t> Store::add_load(const LoadSeen& load) {
  int64_t id = 0;
  Result<void> done = write("load", std::string(kDoing), [&]() -> Result<void> {
    Statement row = database_->prepare(
        "INSERT INTO loads(fingerprint, model, at_ms, ended, sessions, corrected, load_s,"
        " load_s_predicted, decode, decode_predicted) VALUES(?,?,?,?,?,?,?,?,?,?)",
        std::string(kDoing));
    row.bind(load.fingerprint).bind(load.model).bind(load.at.time_since_epoch().count());
    row.bind(load_end_name(load.end)).bind(int64_t{load.sessions});
    row.bind(static_cast<int64_t>(load.corrected.n)).bind_real(load.load_s);
    bind_optional(row, load.load_s_predicted);
    bind_optional(row, load.decode);
    bind_optional(row, load.decode_predicted);
    if (Result<void> added = row.run(); !added) return added;
    id = database_->last_rowid();
    if (Result<void> written = write_bytes(*database_, id, load); !written) return written;
    return trim(*database_, load.model);
  });
  if (!done) return fail(done.error());
  return id;
}

Result<void> Store::update_load(const LoadSeen& load) {
  return write("load", std::string(kDoing), [&]() -> Result<void> {
    Statement row = database_->prepare(
        "UPDATE loads SET ended=?, sessions=?, decode=? WHERE id=?", std::string(kDoing));
    row.bind(load_end_name(load.end)).bind(int64_t{load.sessions});
    bind_optional(row, load.decode);
    if (Result<void> changed = row.bind(load.id).run(); !changed) return changed;
    if (database_->changes() == 0) return {};  // many loads later: it was trimmed away
    return write_bytes(*database_, load.id, load);
  });
}

Result<std::vector<LoadSeen>> Store::loads(LoadsOf which, const std::string& name,
                                           uint32_t limit) {
  const std::lock_guard lock(mutex_);
  std::vector<LoadSeen> all;
  Statement row = database_->prepare(
      fmt::format("SELECT id, fingerprint, model, at_ms, ended, sessions, corrected, load_s,"
                  " load_s_predicted, decode, decode_predicted FROM loads WHERE {}"
                  " ORDER BY id DESC LIMIT ?2", condition_of(which)),
      "read the loads");
  row.bind(name).bind(int64_t{limit});
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return all;
    LoadSeen load;
    load.id = row.integer(0);
    load.fingerprint = row.text(1);
    load.model = row.text(2);
    load.at = WallTime(Millis(row.integer(3)));
    load.end = parse_load_end(row.text(4));
    load.sessions = static_cast<uint32_t>(row.integer(5));
    load.corrected = Bytes{static_cast<uint64_t>(row.integer(6))};
    load.load_s = row.real(7);
    load.load_s_predicted = real_or_none(row, 8);
    load.decode = real_or_none(row, 9);
    load.decode_predicted = real_or_none(row, 10);
    Result<std::vector<LoadBytes>> bytes = read_bytes(*database_, load.id);
    if (!bytes) return fail(bytes.error());
    load.bytes = std::move(*bytes);
    all.push_back(std::move(load));
  }
}

}  // namespace gantry
