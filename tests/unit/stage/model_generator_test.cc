#include <numeric>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tools/stage/model/generator.h"

namespace ptrain::stage {
namespace {

job::ModelConfig small_model(bool tied) {
  return {.vocab_size = 61,
          .hidden_size = 24,
          .intermediate_size = 40,
          .num_hidden_layers = 2,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 6,
          .max_position_embeddings = 64,
          .initializer_range = 0.3,
          .tie_word_embeddings = tied};
}

std::unique_ptr<StageModel> whole_model(bool tied) {
  auto model = std::make_unique<StageModel>(small_model(tied), job::StageSpan{0, 2, true, true},
                                            ModelOptions{});
  model->initialise(5);
  return model;
}

class GeneratorTest : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Head, GeneratorTest, ::testing::Bool(),
                         [](const auto& of) { return of.param ? "Tied" : "Untied"; });

TEST_P(GeneratorTest, NextLogitsAreThoseOfAFullForward) {
  const auto model = whole_model(GetParam());
  const at::Tensor text = at::randint(61, {1, 20}, at::kInt);
  const at::Tensor full = model->logits(text)[0];
  const std::span<const std::int32_t> tokens(text.data_ptr<std::int32_t>(), 20);
  Generator generator(*model, 20);
  std::size_t done = 0;
  for (const std::size_t count : {7, 1, 1, 5, 1, 5}) {
    const std::span<const float> logits = generator.next_logits(tokens.subspan(done, count));
    done += count;
    EXPECT_EQ(generator.position(), static_cast<std::int64_t>(done));
    for (std::size_t i = 0; i < logits.size(); ++i) {
      EXPECT_NEAR(logits[i], full[static_cast<std::int64_t>(done) - 1][i].item<float>(), 1e-4);
    }
  }
}

TEST_P(GeneratorTest, TheLastTokenThatFitsIsAcceptedAndTheNextRefused) {
  const auto model = whole_model(GetParam());
  Generator generator(*model, 3);
  const std::int32_t tokens[] = {1, 2, 3};
  EXPECT_THROW(generator.next_logits({}), Error);
  EXPECT_NO_THROW(generator.next_logits(tokens));
  EXPECT_THROW(generator.next_logits(std::span(tokens).first(1)), Error);
}

TEST_P(GeneratorTest, ATokenOutsideTheVocabularyIsRefused) {
  const auto model = whole_model(GetParam());
  Generator generator(*model, 8);
  const std::int32_t bad[] = {60, 61};
  EXPECT_THROW(generator.next_logits(bad), Error);
  EXPECT_NO_THROW(generator.next_logits(std::span(bad).first(1)));
}

}  // namespace
}  // namespace ptrain::stage
