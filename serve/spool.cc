// Files of one request.
#include "serve/spool.h"

#include "base/ids.h"

namespace gantry {

namespace {

std::string new_path(const std::string& dir, const Clock& clock) {
  Rng rng = Rng::from_system();
  return join_path(dir, make_id(clock, rng));
}

}  // namespace

Spool::Spool(Os& os, const std::string& dir, const Clock& clock)
    : os_(os), path_(new_path(dir, clock)) {}

Spool::~Spool() {
  (void)os_.remove(upload());
  (void)os_.remove(wav());
}

std::optional<ApiError> Spool::decode(const Decode& decode, std::string_view bytes,
                                      const http::Cancel& gone) const {
  const auto written = os_.write_file(upload(), bytes, 0600);
  if (!written) return api_error(written.error());
  const auto decoded = decode(upload(), wav(), gone);
  if (!decoded) {
    // Where it lies is nobody's business.
    Error told = decoded.error();
    for (size_t at; (at = told.message.find(upload())) != std::string::npos;) {
      told.message.replace(at, upload().size(), "the recording");
    }
    ApiError error = api_error(told);
    if (decoded.error().code == Code::kCorrupt) {
      error.status = 400;
      error.param = "file";
    }
    return error;
  }
  (void)os_.remove(upload());
  return std::nullopt;
}

}  // namespace gantry
