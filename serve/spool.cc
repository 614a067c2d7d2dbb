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

std::optional<ApiError> Spool::decode(ForemanClient& foreman, std::string_view bytes,
                                      const http::Cancel& gone) const {
  const auto written = os_.write_file(upload(), bytes, 0600);
  if (!written) return api_error(written.error());
  const auto decoded = foreman.decode(upload(), wav(), gone);
  if (!decoded) {
    ApiError error = api_error(decoded.error());
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
