// Every version of the job database's schema, oldest first.
#include "foreman/schema.h"

namespace gantry {

namespace {

constexpr Migration kMigrations[] = {
    {1, R"sql(
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES('token_epoch', 0);
CREATE TABLE jobs(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,   -- order of submission
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  params TEXT NOT NULL,
  priority INTEGER NOT NULL,
  idempotency_key TEXT,
  state TEXT NOT NULL CHECK(state IN ('queued','running','done','failed','cancelled')),
  attempts INTEGER NOT NULL DEFAULT 0,     -- claims so far
  strikes INTEGER NOT NULL DEFAULT 0,      -- failed attempts in a row that made no checkpoint
  lost INTEGER NOT NULL DEFAULT 0,         -- likewise, ended with the daemon
  token INTEGER NOT NULL DEFAULT 0,        -- of the last claim
  device TEXT NOT NULL DEFAULT '',
  result_file TEXT, result_sha256 TEXT,    -- file: name inside the job's folder
  error_code TEXT, error_message TEXT, error_remedy TEXT,
  submitted_ms INTEGER NOT NULL, started_ms INTEGER, finished_ms INTEGER,
  swept INTEGER NOT NULL DEFAULT 0,
  CHECK((state = 'done') = (result_file IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX jobs_by_key ON jobs(idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_in_line ON jobs(priority DESC, seq) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs(seq) WHERE state = 'running';
CREATE INDEX jobs_unswept ON jobs(seq)
  WHERE swept = 0 AND state IN ('done','failed','cancelled');
CREATE TABLE files(
  job INTEGER NOT NULL REFERENCES jobs(seq), position INTEGER NOT NULL,
  path TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
  PRIMARY KEY(job, position)) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints(
  job INTEGER NOT NULL REFERENCES jobs(seq), step TEXT NOT NULL,
  file TEXT NOT NULL, sha256 TEXT NOT NULL, token INTEGER NOT NULL,
  PRIMARY KEY(job, step)) STRICT, WITHOUT ROWID;
CREATE TABLE leases(
  token INTEGER NOT NULL, device TEXT NOT NULL, bytes INTEGER NOT NULL, model TEXT NOT NULL,
  pid INTEGER NOT NULL DEFAULT 0, start_ticks INTEGER NOT NULL DEFAULT 0,
  boot_id TEXT NOT NULL DEFAULT '', PRIMARY KEY(token, device)) STRICT, WITHOUT ROWID;
)sql"},
    {2, R"sql(
CREATE TABLE measured(
  fingerprint TEXT PRIMARY KEY, model TEXT NOT NULL, peak INTEGER NOT NULL) STRICT;
)sql"},
    // The highest peak ever gives way to what each of the last loads needed: a wrong figure passes.
    {3, R"sql(
DROP TABLE measured;
CREATE TABLE loads(
  id INTEGER PRIMARY KEY AUTOINCREMENT,    -- in the order of loading
  fingerprint TEXT NOT NULL, model TEXT NOT NULL, at_ms INTEGER NOT NULL,
  ended TEXT NOT NULL CHECK(ended IN ('loaded','unloaded','died','grew')),
  sessions INTEGER NOT NULL,
  corrected INTEGER NOT NULL,              -- of the host's predicted bytes: added by earlier loads
  load_s REAL NOT NULL, load_s_predicted REAL,
  decode REAL, decode_predicted REAL       -- tokens a second
) STRICT;
CREATE INDEX loads_by_model ON loads(model, id);
CREATE INDEX loads_by_fingerprint ON loads(fingerprint, id);
CREATE TABLE load_bytes(
  load INTEGER NOT NULL REFERENCES loads(id) ON DELETE CASCADE,
  device TEXT NOT NULL, predicted INTEGER NOT NULL,
  measured INTEGER,                        -- NULL: could not be seen
  PRIMARY KEY(load, device)) STRICT, WITHOUT ROWID;
)sql"},
    // More states, and what a job may wait for. The line's index holds what can run now and nothing
    // else, so that a claim costs the same however many wait.
    {4, R"sql(
CREATE TABLE jobs4(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,   -- order of submission
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  params TEXT NOT NULL,
  priority INTEGER NOT NULL,
  idempotency_key TEXT,
  state TEXT NOT NULL CHECK(state IN ('waiting','queued','running','paused','done','failed',
                                      'cancelled','quarantined')),
  not_before_ms INTEGER NOT NULL DEFAULT 0,
  deadline_ms INTEGER,                     -- NULL: none
  attempts_max INTEGER NOT NULL DEFAULT 0, -- 0: no limit
  blockers INTEGER NOT NULL DEFAULT 0,     -- jobs it depends on that are not done
  attempts INTEGER NOT NULL DEFAULT 0,     -- claims so far
  strikes INTEGER NOT NULL DEFAULT 0,      -- failed attempts in a row that made no checkpoint
  lost INTEGER NOT NULL DEFAULT 0,         -- likewise, ended with the daemon
  token INTEGER NOT NULL DEFAULT 0,        -- of the last claim
  device TEXT NOT NULL DEFAULT '',
  result_file TEXT, result_sha256 TEXT,    -- file: name inside the job's folder
  error_code TEXT, error_message TEXT, error_remedy TEXT,
  evidence TEXT,                           -- JSON list of attempts that a worker did not survive
  submitted_ms INTEGER NOT NULL, started_ms INTEGER, finished_ms INTEGER,
  swept INTEGER NOT NULL DEFAULT 0,
  CHECK((state = 'done') = (result_file IS NOT NULL))
) STRICT;
INSERT INTO jobs4(seq, id, kind, params, priority, idempotency_key, state, attempts, strikes, lost,
    token, device, result_file, result_sha256, error_code, error_message, error_remedy,
    submitted_ms, started_ms, finished_ms, swept)
  SELECT seq, id, kind, params, priority, idempotency_key, state, attempts, strikes, lost,
    token, device, result_file, result_sha256, error_code, error_message, error_remedy,
    submitted_ms, started_ms, finished_ms, swept FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs4 RENAME TO jobs;
CREATE UNIQUE INDEX jobs_by_key ON jobs(idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_in_line ON jobs(priority DESC, seq) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs(seq) WHERE state = 'running';
CREATE INDEX jobs_due ON jobs(not_before_ms) WHERE state = 'waiting' AND blockers = 0;
CREATE INDEX jobs_ending ON jobs(deadline_ms)
  WHERE deadline_ms IS NOT NULL AND state IN ('waiting','queued');
CREATE INDEX jobs_aside ON jobs(state, seq) WHERE state IN ('waiting','paused','quarantined');
CREATE INDEX jobs_unswept ON jobs(seq)
  WHERE swept = 0 AND state IN ('done','failed','cancelled');
-- Columns in the order of the key: quick_check of SQLite 3.40 finds NULLs where they are not else.
CREATE TABLE job_needs(
  needs INTEGER NOT NULL REFERENCES jobs(seq), job INTEGER NOT NULL REFERENCES jobs(seq),
  PRIMARY KEY(needs, job)) STRICT, WITHOUT ROWID;
CREATE INDEX job_needs_of ON job_needs(job);
-- Whether a program of the user's holds it: that lives on when the daemon dies, and keeps it.
ALTER TABLE leases ADD COLUMN program INTEGER NOT NULL DEFAULT 0;
CREATE TABLE tallies(state TEXT PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO tallies VALUES('waiting',0),('queued',0),('running',0),('paused',0),('done',0),
  ('failed',0),('cancelled',0),('quarantined',0);
UPDATE tallies SET jobs = (SELECT count(*) FROM jobs WHERE jobs.state = tallies.state);
CREATE TRIGGER job_counted AFTER INSERT ON jobs BEGIN
  UPDATE tallies SET jobs = jobs + 1 WHERE state = NEW.state;
END;
CREATE TRIGGER job_counted_anew AFTER UPDATE OF state ON jobs WHEN OLD.state <> NEW.state BEGIN
  UPDATE tallies SET jobs = jobs - 1 WHERE state = OLD.state;
  UPDATE tallies SET jobs = jobs + 1 WHERE state = NEW.state;
END;
)sql"},
    // Inputs kept by content, the user's word on devices, and an end of what is kept of jobs.
    {5, R"sql(
ALTER TABLE files ADD COLUMN sha256 TEXT;  -- of what lies in inputs/; NULL: read from its path
CREATE INDEX files_kept ON files(sha256) WHERE sha256 IS NOT NULL;
ALTER TABLE jobs ADD COLUMN device_hint TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN shortage TEXT NOT NULL DEFAULT '';  -- words, a comma between them
CREATE INDEX jobs_ended ON jobs(finished_ms, seq) WHERE state IN ('done','failed','cancelled');
-- Jobs without a row whose folder may still be there.
CREATE TABLE pruned(id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TRIGGER job_discounted AFTER DELETE ON jobs BEGIN
  UPDATE tallies SET jobs = jobs - 1 WHERE state = OLD.state;
END;
)sql"},
    // Since when, last seen when, until when it is held: milliseconds since the machine's start.
    {6, R"sql(
ALTER TABLE leases ADD COLUMN whole INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN granted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN heartbeat INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN deadline INTEGER;  -- NULL: none
)sql"},
    // What may leave the machine, and who answered.
    {7, R"sql(
ALTER TABLE jobs ADD COLUMN stays INTEGER NOT NULL DEFAULT 0;    -- nothing of it leaves
ALTER TABLE jobs ADD COLUMN answered TEXT NOT NULL DEFAULT '';   -- JSON list, see Job
)sql"},
    // How fast models are by use, and which of several is to answer.
    {8, R"sql(
CREATE TABLE paces(
  fingerprint TEXT NOT NULL, device TEXT NOT NULL, model TEXT NOT NULL,
  sound_s REAL NOT NULL, work_s REAL NOT NULL, at_ms INTEGER NOT NULL,
  alone INTEGER NOT NULL,                  -- 0: others were at work, too
  PRIMARY KEY(fingerprint, device)) STRICT, WITHOUT ROWID;
CREATE INDEX paces_by_age ON paces(at_ms);
CREATE TABLE modes(model TEXT PRIMARY KEY, mode TEXT NOT NULL) STRICT, WITHOUT ROWID;
)sql"},
    // Parts of jobs, which nobody but the whole's executor claims.
    {9, R"sql(
ALTER TABLE jobs ADD COLUMN parent INTEGER;  -- seq of the job that this is a part of
ALTER TABLE jobs ADD COLUMN part TEXT;       -- its name there
CREATE UNIQUE INDEX jobs_parts ON jobs(parent, part) WHERE parent IS NOT NULL;
DROP INDEX jobs_in_line;
CREATE INDEX jobs_in_line ON jobs(priority DESC, seq) WHERE state = 'queued' AND parent IS NULL;
)sql"},
};

}  // namespace

std::span<const Migration> job_schema() { return kMigrations; }

}  // namespace gantry
