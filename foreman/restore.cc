// Copies of the queue and their way back.
#include "foreman/restore.h"

#include <fmt/format.h>

#include "base/limits.h"

namespace gantry {

namespace {

constexpr const char* kDatabase = "gantry.db";
constexpr const char* kJobs = "jobs";
constexpr const char* kInputs = "inputs";

Result<void> link_files(Os& os, const std::string& from, const std::string& to,
                        std::string_view prefix) {
  Result<std::vector<std::string>> names = os.list(from);
  if (!names) return {};  // gone meanwhile, or never there
  bool made = false;
  for (const std::string& name : *names) {
    const std::string file = join_path(from, name);
    const Result<FileInfo> info = os.stat(file);
    if (!info || info->is_dir || !name.starts_with(prefix)) continue;
    if (!made) {
      if (Result<void> there = os.make_dirs(to, 0700); !there) return there;
      made = true;
    }
    Result<void> linked = os.link_file(file, join_path(to, name));
    // Swept while we looked: the copied row then does the step again.
    if (!linked && linked.error().code != Code::kNotFound) return linked;
  }
  return {};
}

// Results and checkpoints never change once they have their names.
Result<void> link_jobs(Os& os, const std::string& from, const std::string& to) {
  if (Result<void> made = os.make_dirs(to, 0700); !made) return made;
  Result<std::vector<std::string>> jobs = os.list(from);
  if (!jobs && jobs.error().code == Code::kNotFound) return {};  // no job ever ran
  if (!jobs) return fail(jobs.error());
  for (const std::string& job : *jobs) {
    const std::string source = join_path(from, job), target = join_path(to, job);
    if (Result<void> done = link_files(os, source, target, "result."); !done) return done;
    Result<void> done =
        link_files(os, join_path(source, "steps"), join_path(target, "steps"), "");
    if (!done) return done;
  }
  return {};
}

// And inputs that were kept are named by what is in them.
Result<void> link_all(Os& os, const std::string& from, const std::string& to) {
  if (Result<void> done = link_jobs(os, join_path(from, kJobs), join_path(to, kJobs)); !done) {
    return done;
  }
  return link_files(os, join_path(from, kInputs), join_path(to, kInputs), "");
}

// Out of the way, under a name that tells when.
Result<std::string> move_aside(Os& os, const Clock& clock, const std::string& state_dir) {
  const std::string aside = join_path(
      state_dir, "replaced-" + std::to_string(clock.wall().time_since_epoch().count()));
  if (Result<void> made = os.make_dirs(aside, 0700); !made) return fail(made.error());
  for (const std::string& name : {std::string(kDatabase), std::string(kDatabase) + "-wal",
                                  std::string(kDatabase) + "-journal", std::string(kJobs),
                                  std::string(kInputs)}) {
    const std::string from = join_path(state_dir, name);
    if (!os.stat(from)) continue;
    if (Result<void> moved = os.move_file(from, join_path(aside, name)); !moved) {
      return fail(moved.error());
    }
  }
  return aside;
}

// A copy of the backup's database that this version can open, with an epoch of its own.
Result<JobTally> bring(Os& os, const Clock& clock, const std::string& source,
                       const std::string& fresh, Token above) {
  if (Result<void> copied = os.copy_file(source, fresh); !copied) return fail(copied.error());
  Result<std::unique_ptr<Store>> store =
      Store::open(fresh, {.now = clock.wall(), .above = above});
  if (!store) return fail(store.error());
  return (*store)->tally();
}

}  // namespace

Result<void> write_backup(Os& os, Store& store, const std::string& state_dir,
                          const std::string& dir) {
  if (os.stat(dir)) {
    return fail(Code::kUsage, dir + " is there already", "name a folder that is not there yet");
  }
  if (Result<void> made = os.make_dirs(dir, 0700); !made) return made;
  // Files first would miss results of jobs that the copied rows call done.
  if (Result<void> copied = store.copy_to(join_path(dir, kDatabase)); !copied) return copied;
  return link_all(os, state_dir, dir);
}

Result<Restored> restore_backup(Os& os, const Clock& clock, const std::string& dir,
                                const std::string& state_dir, bool replace) {
  const std::string source = join_path(dir, kDatabase), target = join_path(state_dir, kDatabase);
  if (Result<FileInfo> there = os.stat(source); !there) {
    return fail(Code::kNotFound, dir + " is no backup: it has no gantry.db",
                "name a folder that `gantry backup` made");
  }
  if (Result<void> made = os.make_dirs(state_dir, 0700); !made) return fail(made.error());
  Result<std::unique_ptr<FileLock>> lock = lock_file(join_path(state_dir, "daemon.lock"));
  if (!lock && lock.error().code == Code::kBusy) {
    return fail(Code::kBusy, "a daemon runs on " + state_dir, "end it with `gantry stop`");
  }
  if (!lock) return fail(lock.error());
  Restored restored;
  Token above = 0;
  const bool there = os.stat(target).has_value();
  if (there && !replace) {
    return fail(Code::kUsage, state_dir + " has a queue already",
                "use --replace to move it aside, or name another --state-dir");
  }
  // A queue too broken to open has no say; the clock has.
  if (there) {
    if (auto old = Store::open(target, {.now = clock.wall()}); old) above = (*old)->next_token();
  }
  // Sound before anything is moved for it.
  const std::string fresh = target + ".restored";
  Result<JobTally> tally = bring(os, clock, source, fresh, above);
  if (!tally) {
    (void)os.remove(fresh);
    return fail(tally.error());
  }
  restored.jobs = *tally;
  if (there) {
    Result<std::string> aside = move_aside(os, clock, state_dir);
    if (!aside) return fail(aside.error());
    restored.replaced = *aside;
  }
  Result<void> done = link_all(os, dir, state_dir);
  if (done) done = os.move_file(fresh, target);
  if (!done) return fail(done.error());
  return restored;
}

}  // namespace gantry
