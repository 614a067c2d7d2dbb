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
};

}  // namespace

std::span<const Migration> job_schema() { return kMigrations; }

}  // namespace gantry
