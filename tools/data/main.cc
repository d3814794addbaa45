// ptrain-data: text to token shards, and back.

#include "libcommon/cli/program.h"
#include "libcommon/cli/value_names.h"
#include "tools/data/decode.h"
#include "tools/data/encode.h"
#include "tools/data/info.h"
#include "tools/data/train_tokenizer.h"

int main(int argc, char** argv) {
  using namespace ptrain;

  CLI::App app("Turns text into token shards for ptrain-stage, and back.", "ptrain-data");
  app.footer(
      "Example:\n"
      "  ptrain-data encode --val-fraction 0.1 --out tokens alice.txt\n"
      "  ptrain-data decode tokens/val_000000.bin | head");
  app.require_subcommand(1);

  data::EncodeOptions encode;
  CLI::App* encode_command = app.add_subcommand("encode", "Turn text into token shards");
  data::add_encode_options(*encode_command, encode);

  data::DecodeOptions decode;
  CLI::App* decode_command = app.add_subcommand("decode", "Turn a token shard into text");
  data::add_decode_options(*decode_command, decode);

  data::InfoOptions info;
  CLI::App* info_command = app.add_subcommand("info", "Say what token shards hold");
  data::add_info_options(*info_command, info);

  data::TrainTokenizerOptions train;
  CLI::App* train_command =
      app.add_subcommand("train-tokenizer", "Make a SentencePiece model from text");
  data::add_train_tokenizer_options(*train_command, train);

  cli::name_values(app, {{"TEXT", "FILE"}, {"SHARD", "FILE"}, {"--tokenizer", "bytes|FILE"}});
  return cli::run_program(app, argc, argv, [&] {
    if (*encode_command) return data::run_encode(encode);
    if (*decode_command) return data::run_decode(decode);
    if (*info_command) return data::run_info(info);
    return data::run_train_tokenizer(train);
  });
}
