// The library as a worker meets it: one symbol, which has everything.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include "npu/encoder_api.h"

namespace gantry {
namespace {

TEST(EncoderPlugin, HasOneSymbolOfThisVersion) {
  for (const char* path : {GANTRY_ENCODER, GANTRY_ENCODER_FAULTS_LIBRARY}) {
    void* library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << ::dlerror();
    const auto entry = reinterpret_cast<EncoderEntry>(::dlsym(library, kEncoderSymbol));
    ASSERT_NE(entry, nullptr);
    const EncoderApi& api = *entry();
    EXPECT_EQ(api.abi, kEncoderAbi);
    EXPECT_TRUE(api.devices && api.open && api.encode && api.close && api.convert);
  }
}

}  // namespace
}  // namespace gantry
