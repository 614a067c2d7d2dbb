// Rows of the job table as values, for the files that write the store.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "foreman/database.h"
#include "foreman/store.h"

namespace gantry {

// The columns that read_jobs wants, up to and including FROM; a WHERE comes behind it.
extern const std::string_view kSelectJobs;

int64_t millis(WallTime time);

// Every job of the query, with its files and what it depends on.
[[nodiscard]] Result<std::vector<Job>> read_jobs(const Database& database, Statement& query);
// The job of the row that `query` stands on, and its seq; without files.
Job read_job(const Statement& query);
int64_t seq_of(const Statement& query);
void add_files(std::vector<FileIdentity> files, Job* job);
[[nodiscard]] Result<std::vector<FileIdentity>> read_files(const Database& database, int64_t seq);

}  // namespace gantry
