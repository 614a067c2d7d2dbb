// A worker that answers HTTP: llama-server and external commands.
#pragma once

#include <memory>
#include <string>

#include "http/http.h"
#include "worker/child.h"
#include "worker/worker.h"

namespace gantry {

struct HttpEndpoint {
  http::Address address;
  std::string health = "/health";  // 200 there means ready; empty: a connection is enough
  std::string stats_file;            // a streamer's statistics page; removed with the worker
};

std::unique_ptr<Worker> make_http_worker(Os& os, std::unique_ptr<Child> child,
                                         HttpEndpoint endpoint);

}  // namespace gantry
