// What the program says, and where things go; lab/process/test_convert.py has the real one.
#include "apps/convert_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace gantry {
namespace {

TEST(ConvertFolder, WordsOfTheProgram) {
  EXPECT_EQ(parse_folder_word(R"({"step": "converting"})")->step, "converting");
  EXPECT_EQ(parse_folder_word(R"({"report": {"out": "/x"}})")->report["out"], "/x");
  const auto error = parse_folder_word(
      R"({"error": {"code": "does_not_fit", "message": "loses", "remedy": "use f16"}})");
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().code, Code::kDoesNotFit);
  EXPECT_EQ(error.error().remedy, "use f16");
  for (const char* bad : {"", "{}", "[1]", "{\"step\": 5}", "{\"error\": 7}", "Traceback"}) {
    EXPECT_EQ(parse_folder_word(bad).error().code, Code::kWorkerFailed) << bad;
  }
}

TEST(ConvertFolder, NothingIsReplacedUnasked) {
  const auto os = make_real_os();
  const std::string dir = testing::TempDir() + "convert_folder";
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir + "/model");
  std::ofstream(dir + "/m.onnx") << "x";
  std::ofstream(dir + "/m.safetensors") << "x";
  FolderOrder order;
  order.cache = dir + "/cache";
  order.source = dir + "/none";
  EXPECT_EQ(complete(*os, order).error().code, Code::kNotFound);
  order.source = dir + "/model/";
  EXPECT_EQ(complete(*os, order)->out, dir + "/model-openvino");
  order.source = dir + "/m.onnx";
  EXPECT_EQ(complete(*os, order)->out, dir + "/m-openvino");
  order.source = dir + "/m.safetensors";
  EXPECT_EQ(complete(*os, order)->out, dir + "/m-openvino");
  std::filesystem::create_directories(dir + "/m-openvino");
  EXPECT_EQ(complete(*os, order).error().code, Code::kConflict);
  order.replace = true;
  EXPECT_TRUE(complete(*os, order));
}

}  // namespace
}  // namespace gantry
