// The graph against the same encoder written down in plain loops.
#include "npu/whisper_graph.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <vector>

#include "npu/encoder_openvino.h"

namespace gantry {
namespace {

constexpr uint32_t kMels = 4, kContext = 6, kState = 8, kHeads = 2, kLayers = 2;
using Rows = std::vector<std::vector<double>>;  // (positions, channels)

struct Weights {
  std::map<std::string, std::vector<float>> made;
  std::mt19937 random{1};
  std::string missing, broken;
  float value = 0;

  static bool read(void* self, const char* name, float* out, uint64_t elements) {
    auto& weights = *static_cast<Weights*>(self);
    if (name == weights.missing) return false;
    std::vector<float>& tensor = weights.made[name];
    std::uniform_real_distribution<float> any(-0.5F, 0.5F);
    while (tensor.size() < elements) {
      // What 16 bits hold exactly, so that the comparison is about the graph.
      tensor.push_back(std::round(any(weights.random) * 64) / 64);
    }
    if (name == weights.broken) tensor[0] = weights.value;
    std::copy(tensor.begin(), tensor.end(), out);
    return true;
  }
  const std::vector<float>& at(const std::string& name) { return made.at("encoder." + name); }
};

EncoderModel model_of(Weights* weights) {
  return {kMels, kContext, kState, kHeads, kLayers, weights, &Weights::read};
}

double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979) * (x + 0.044715 * x * x * x)));
}

// x (positions, in) to (positions / stride, kState), with one position of nothing on both sides.
Rows convolved(Weights& w, const Rows& x, const std::string& name, size_t stride) {
  const std::vector<float>&weight = w.at(name + ".weight"), &bias = w.at(name + ".bias");
  const size_t in = x[0].size();
  Rows out;
  for (size_t t = 0; t < x.size(); t += stride) {
    std::vector<double> row(kState);
    for (size_t o = 0; o < kState; ++o) {
      double sum = bias[o];
      for (size_t k = 0; k < 3; ++k) {
        if (t + k < 1 || t + k > x.size()) continue;
        for (size_t i = 0; i < in; ++i) sum += weight[(o * in + i) * 3 + k] * x[t + k - 1][i];
      }
      row[o] = gelu(sum);
    }
    out.push_back(row);
  }
  return out;
}

Rows linear(Weights& w, const Rows& x, const std::string& name, size_t width, bool bias) {
  const std::vector<float>& weight = w.at(name + ".weight");
  Rows out(x.size(), std::vector<double>(width));
  for (size_t t = 0; t < x.size(); ++t) {
    for (size_t o = 0; o < width; ++o) {
      double sum = bias ? w.at(name + ".bias")[o] : 0;
      for (size_t i = 0; i < x[t].size(); ++i) sum += weight[o * x[t].size() + i] * x[t][i];
      out[t][o] = sum;
    }
  }
  return out;
}

Rows norm(Weights& w, const Rows& x, const std::string& name) {
  Rows out = x;
  for (std::vector<double>& row : out) {
    double mean = 0, variance = 0;
    for (const double v : row) mean += v / kState;
    for (const double v : row) variance += (v - mean) * (v - mean) / kState;
    for (size_t i = 0; i < kState; ++i) {
      row[i] = (row[i] - mean) / std::sqrt(variance + 1e-5) * w.at(name + ".weight")[i] +
               w.at(name + ".bias")[i];
    }
  }
  return out;
}

Rows attention(Weights& w, const Rows& x, const std::string& at) {
  const Rows q = linear(w, x, at + "query", kState, true);
  const Rows k = linear(w, x, at + "key", kState, false);
  const Rows v = linear(w, x, at + "value", kState, true);
  constexpr size_t kSize = kState / kHeads;
  Rows mixed(x.size(), std::vector<double>(kState));
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t t = 0; t < x.size(); ++t) {
      std::vector<double> weight(x.size());
      double sum = 0;
      for (size_t u = 0; u < x.size(); ++u) {
        double dot = 0;
        for (size_t i = h * kSize; i < (h + 1) * kSize; ++i) dot += q[t][i] * k[u][i];
        sum += weight[u] = std::exp(dot / std::sqrt(double{kSize}));
      }
      for (size_t u = 0; u < x.size(); ++u) {
        for (size_t i = h * kSize; i < (h + 1) * kSize; ++i) {
          mixed[t][i] += weight[u] / sum * v[u][i];
        }
      }
    }
  }
  return linear(w, mixed, at + "out", kState, true);
}

void add(Rows* x, const Rows& y) {
  for (size_t t = 0; t < x->size(); ++t) {
    for (size_t i = 0; i < kState; ++i) (*x)[t][i] += y[t][i];
  }
}

Rows encoded(Weights& w, const std::vector<float>& mel) {
  Rows x(2 * kContext, std::vector<double>(kMels));
  for (size_t t = 0; t < x.size(); ++t) {
    for (size_t m = 0; m < kMels; ++m) x[t][m] = mel[m * x.size() + t];
  }
  x = convolved(w, convolved(w, x, "conv1", 1), "conv2", 2);
  for (size_t t = 0; t < kContext; ++t) {
    for (size_t i = 0; i < kState; ++i) x[t][i] += w.at("positional_embedding")[t * kState + i];
  }
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    const std::string at = "blocks." + std::to_string(layer) + ".";
    add(&x, attention(w, norm(w, x, at + "attn_ln"), at + "attn."));
    Rows wide = linear(w, norm(w, x, at + "mlp_ln"), at + "mlp.0", 4 * kState, true);
    for (auto& row : wide) {
      for (double& value : row) value = gelu(value);
    }
    add(&x, linear(w, wide, at + "mlp.2", kState, true));
  }
  return norm(w, x, "ln_post");
}

class WhisperGraph : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (std::filesystem::temp_directory_path() / "graphXXXXXX").string();
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    xml_ = folder_ + "/e.xml";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_, xml_;
  Weights weights_;
};

TEST_F(WhisperGraph, ComputesWhatTheLoopsCompute) {
  ASSERT_EQ(write_whisper_encoder(model_of(&weights_), xml_), "");
  EXPECT_EQ(weights_.made.size(), 7 + 15 * kLayers);  // each tensor of an encoder
  const EncoderApi& api = openvino_encoder_api();
  EncoderShape shape;
  EncoderText answers{}, error{};
  void* encoder = api.open(xml_.c_str(), "CPU", "", 1, &shape, &answers, &error);
  ASSERT_NE(encoder, nullptr) << error.data();
  EXPECT_EQ(shape, (EncoderShape{kMels, 2 * kContext, kContext, kState}));
  EXPECT_STREQ(answers.data(), "CPU");
  std::vector<float> mel(kMels * 2 * kContext), states(kContext * kState);
  for (size_t i = 0; i < mel.size(); ++i) mel[i] = std::sin(static_cast<float>(i));
  ASSERT_TRUE(api.encode(encoder, mel.data(), states.data(), 60'000, &error)) << error.data();
  api.close(encoder);
  const Rows want = encoded(weights_, mel);
  for (size_t t = 0; t < kContext; ++t) {
    for (size_t i = 0; i < kState; ++i) EXPECT_NEAR(states[t * kState + i], want[t][i], 1e-4);
  }
}

TEST_F(WhisperGraph, WhatCannotBeAWeightIsNamed) {
  weights_.missing = "encoder.blocks.1.attn.key.weight";
  EXPECT_EQ(write_whisper_encoder(model_of(&weights_), xml_), weights_.missing + " cannot be read");
  weights_.missing.clear();
  weights_.broken = "encoder.ln_post.bias";
  weights_.value = NAN;
  EXPECT_EQ(write_whisper_encoder(model_of(&weights_), xml_),
            weights_.broken + " holds what is no number");
  weights_.broken = "encoder.conv1.weight";
  weights_.value = 65'505;
  EXPECT_EQ(write_whisper_encoder(model_of(&weights_), xml_),
            "conv1.weight has weights that 16 bits cannot hold");
  EXPECT_FALSE(std::filesystem::exists(xml_));
}

TEST_F(WhisperGraph, WhereNothingCanBeWrittenIsAnError) {
  std::ofstream(folder_ + "/file") << "in the way";
  EXPECT_NE(write_whisper_encoder(model_of(&weights_), folder_ + "/file/e.xml"), "");
}

}  // namespace
}  // namespace gantry
