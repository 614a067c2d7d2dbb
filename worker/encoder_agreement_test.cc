// The right encoder agrees, a wrong one does not.
#include "worker/encoder_agreement.h"

#include "worker/encoder_test_bench.h"
#include "worker/whisper_context.h"

namespace gantry {
namespace {

TEST_F(EncoderTest, AgreementTellsTheModelsEncoderFromAnother) {
  const std::string xml = converted();
  const auto library = EncoderLibrary::load(GANTRY_ENCODER);
  ASSERT_TRUE(library);
  const auto context = open_whisper(model_, GANTRY_ENGINE_DIR, {});
  ASSERT_TRUE(context);
  const auto compare = [&]() -> Result<EncoderAgreement> {
    const auto encoder = library->open(xml, "CPU", {}, 1);
    if (!encoder) return fail(encoder.error());
    return compare_encoders(context->get(), encoder->get(), 1);
  };
  const auto right = compare();
  ASSERT_TRUE(right) << right.error().message;
  EXPECT_LE(right->share, kQuantisedShareMax);
  EXPECT_GT(right->logits, 0U);
  EXPECT_EQ(right->same, right->choices);
  EXPECT_EQ(right->choices, 9U);

  // One bit of the exponent of the weights in the last third: another encoder.
  const std::string bin = xml.substr(0, xml.size() - 3) + "bin";
  std::string bytes = slurp(bin);
  for (size_t i = bytes.size() / 3 * 2; i + 1 < bytes.size(); i += 2) bytes[i + 1] ^= 0x04;
  std::ofstream(bin, std::ios::binary) << bytes;
  const auto wrong = compare();
  ASSERT_TRUE(wrong) << wrong.error().message;
  EXPECT_GT(wrong->share, kQuantisedShareMax);
}

}  // namespace
}  // namespace gantry
