// Backends: the CPU is found where the engines are, and a wrong folder does no harm.
#include "worker/ggml_backends.h"

#include <ggml-backend.h>
#include <gtest/gtest.h>

#include "worker/test_bench.h"

namespace gantry {
namespace {

TEST(GgmlBackends, TheCpuLoads) {
  load_cpu_backend("/no/such/folder");
  if (!exists(GANTRY_ENGINE_DIR)) GTEST_SKIP() << "the engines are not installed";
  load_cpu_backend(GANTRY_ENGINE_DIR);
  EXPECT_NE(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU), nullptr);
}

}  // namespace
}  // namespace gantry
