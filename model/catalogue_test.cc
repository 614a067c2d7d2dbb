// Names as users write them.
#include "model/catalogue.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

std::string full(std::string_view name) {
  const Result<CatalogueModel> model = catalogue_model(name);
  return model ? model->name : std::string(code_name(model.error().code));
}

TEST(Catalogue, TakesNamesAsPeopleWriteThem) {
  EXPECT_EQ(full("llama3:8b@Q4_K_M"), "llama3:8b@Q4_K_M");
  EXPECT_EQ(full("Llama3:8B@q8_0"), "llama3:8b@Q8_0");
  EXPECT_EQ(full("llama3:8b"), "llama3:8b@Q4_K_M");
  EXPECT_EQ(full("llama3"), "llama3:8b@Q4_K_M");
  EXPECT_EQ(full("llama3:8b-instruct-q4_K_M"), "llama3:8b@Q4_K_M");
  EXPECT_EQ(full("qwen2.5:7b-instruct"), "qwen2.5:7b@Q4_K_M");
  EXPECT_EQ(full("qwen3:30b-a3b"), "qwen3:30b-a3b@Q4_K_M");
  EXPECT_EQ(full("qwen3:30b-a3b-q8_0"), "qwen3:30b-a3b@Q8_0");
  EXPECT_EQ(full("gemma3:4b-it-fp16"), "gemma3:4b@F16");
  EXPECT_EQ(full("whisper:large-v3"), "whisper:large-v3@F16");
  EXPECT_EQ(full("whisper:large-v3-q5_0"), "whisper:large-v3@Q5_0");
  EXPECT_EQ(full("whisper:turbo"), "whisper:large-v3-turbo@F16");
  EXPECT_EQ(full("xtts:v2"), "xtts:v2");
  EXPECT_EQ(full("xtts"), "xtts:v2");
  EXPECT_EQ(full("deepseek-r1:8b"), "qwen3:8b@Q4_K_M");
  EXPECT_EQ(full("bge-m3"), "bge:m3@F16");
}

TEST(Catalogue, RefusesWithTheNearestName) {
  const Result<CatalogueModel> model = catalogue_model("lama3:8b@Q4_K_M");
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, Code::kNotFound);
  EXPECT_NE(model.error().remedy.find("llama3:8b"), std::string::npos) << model.error().remedy;
  EXPECT_EQ(full(""), "not_found");
  EXPECT_EQ(full("@Q4_K_M"), "not_found");
  EXPECT_EQ(full(std::string(100'000, 'a')), "not_found");
  EXPECT_EQ(full("llama3:8b\n"), "not_found");
}

TEST(Catalogue, RefusesQuantisationsThatThereAreNot) {
  for (const char* name : {"llama3:8b@Q4", "llama3:8b@", "whisper:tiny@Q4_K_M", "xtts:v2@F16"}) {
    const Result<CatalogueModel> model = catalogue_model(name);
    ASSERT_FALSE(model) << name;
    EXPECT_EQ(model.error().code, Code::kUnsupported) << name;
    EXPECT_FALSE(model.error().remedy.empty()) << name;
  }
}

TEST(Catalogue, TellsNamesFromPaths) {
  EXPECT_TRUE(is_catalogue_name("llama3:8b@Q4_K_M"));
  EXPECT_TRUE(is_catalogue_name("llama3:8b@nonsense"));  // then the error names what there is
  EXPECT_FALSE(is_catalogue_name("models/llama3:8b"));
  EXPECT_FALSE(is_catalogue_name("micro-asr"));
  EXPECT_FALSE(is_catalogue_name(""));
}

TEST(Catalogue, EveryAliasAndEveryMixMakesACard) {
  for (const CatalogueEntry& entry : catalogue_entries()) {
    for (const Mix mix : mixes()) {
      const Result<CatalogueModel> model =
          catalogue_model(entry.name + "@" + std::string(mix_name(mix)));
      if (!model) {
        EXPECT_EQ(model.error().code, Code::kUnsupported) << entry.name;
        continue;
      }
      EXPECT_GT(model->card.weight_bytes, Bytes{});
      EXPECT_GT(model->card.file_bytes, model->card.weight_bytes);
    }
  }
}

TEST(Catalogue, MixesListTheLargestFirst) {
  double last = 0;
  for (const Mix mix : mixes()) {
    const Result<CatalogueModel> model =
        catalogue_model("llama2:7b@" + std::string(mix_name(mix)));
    ASSERT_TRUE(model);
    const double bytes = static_cast<double>(model->card.weight_bytes.n);
    EXPECT_TRUE(last == 0 || bytes <= 1.001 * last) << mix_name(mix);
    last = bytes;
  }
}

TEST(Catalogue, NamesWhatIsSmaller) {
  EXPECT_EQ(smaller_quantisations("llama3:8b@Q6_K"),
            (std::vector<std::string>{"llama3:8b@Q5_K_M", "llama3:8b@Q4_K_M", "llama3:8b@Q3_K_M",
                                      "llama3:8b@Q2_K"}));
  EXPECT_EQ(smaller_quantisations("whisper:large-v3"),
            (std::vector<std::string>{"whisper:large-v3@Q8_0", "whisper:large-v3@Q5_0",
                                      "whisper:large-v3@Q4_0"}));
  EXPECT_TRUE(smaller_quantisations("xtts:v2").empty());
  EXPECT_EQ(smaller_models("whisper:large-v3"),
            (std::vector<std::string>{"whisper:large-v3-turbo", "whisper:medium", "whisper:small",
                                      "whisper:base", "whisper:tiny"}));
  EXPECT_EQ(smaller_models("llama3:8b@Q8_0"),
            (std::vector<std::string>{"llama3.2:3b@Q8_0", "llama3.2:1b@Q8_0"}));
  EXPECT_TRUE(smaller_models("nothing").empty());
  double last = 0;
  for (const std::string& name : smaller_models("qwen2.5:72b")) {
    const double bytes = static_cast<double>(catalogue_model(name)->card.weight_bytes.n);
    EXPECT_TRUE(last == 0 || bytes < last) << name;
    last = bytes;
  }
}

}  // namespace
}  // namespace gantry
