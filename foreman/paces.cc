// The store's figures of how fast models are, and the modes that the user has set.
#include <algorithm>

#include "base/limits.h"
#include "foreman/database.h"
#include "foreman/store.h"

namespace gantry {

namespace {

constexpr const char* kDoing = "record how fast a model is";
constexpr double kPaceMostS = 600;  // of sound: a longer use counts no more than that

// What is there gives way to the first use that had the machine for itself, and fades after that.
constexpr std::string_view kAdd =
    "INSERT INTO paces(fingerprint, device, model, sound_s, work_s, at_ms, alone)"
    " VALUES(?1,?2,?3,?4,?5,?6,?7) ON CONFLICT(fingerprint, device) DO UPDATE SET"
    " sound_s = excluded.sound_s + CASE WHEN alone = excluded.alone THEN ?8 * sound_s ELSE 0 END,"
    " work_s = excluded.work_s + CASE WHEN alone = excluded.alone THEN ?8 * work_s ELSE 0 END,"
    " at_ms = excluded.at_ms, alone = excluded.alone, model = excluded.model"
    " WHERE excluded.alone >= alone";

}  // namespace

Result<void> Store::add_pace(const HeardPace& use, bool alone) {
  if (!(use.sound_s > 0 && use.work_s >= 0)) return {};  // says nothing
  const double share = std::min(1.0, kPaceMostS / use.sound_s);
  return write("pace", kDoing, [&]() -> Result<void> {
    Statement row = database_->prepare(kAdd, kDoing);
    row.bind(use.fingerprint).bind(use.device).bind(use.model);
    row.bind_real(use.sound_s * share).bind_real(use.work_s * share);
    row.bind(use.at.time_since_epoch().count()).bind(int64_t{alone ? 1 : 0}).bind_real(kPaceKept);
    if (Result<void> added = row.run(); !added) return added;
    return database_
        ->prepare("DELETE FROM paces WHERE at_ms < (SELECT at_ms FROM paces ORDER BY at_ms DESC"
                  " LIMIT 1 OFFSET ?)", kDoing)
        .bind(int64_t{kPacesKept} - 1).run();
  });
}

Result<std::optional<HeardPace>> Store::pace(const std::string& fingerprint,
                                        const std::string& device) {
  const std::lock_guard lock(mutex_);
  Statement row = database_->prepare(
      "SELECT model, sound_s, work_s, at_ms FROM paces WHERE fingerprint=? AND device=?",
      "read how fast a model is");
  Result<bool> there = row.bind(fingerprint).bind(device).next();
  if (!there) return fail(there.error());
  if (!*there) return std::nullopt;
  return HeardPace{fingerprint, row.text(0), device, row.real(1), row.real(2),
              WallTime(Millis(row.integer(3)))};
}

Result<void> Store::set_mode(const std::string& model, std::string_view mode) {
  return write("mode", "keep a mode", [&]() -> Result<void> {
    if (mode.empty()) {
      return database_->prepare("DELETE FROM modes WHERE model=?", "forget a mode")
          .bind(model).run();
    }
    return database_->prepare("INSERT OR REPLACE INTO modes(model, mode) VALUES(?,?)",
                              "keep a mode").bind(model).bind(mode).run();
  });
}

Result<std::map<std::string, std::string>> Store::modes() {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::string> all;
  Statement row = database_->prepare("SELECT model, mode FROM modes", "read the modes");
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return all;
    all[row.text(0)] = row.text(1);
  }
}

}  // namespace gantry
