# One run for all tests of a file: a checkpoint of a megabyte or so, which each test finds as source/.
# Loaded after tiny_job.
# shellcheck shell=bash

setup_file() {
  cd "$BATS_FILE_TMPDIR" || return
  tiny_data "$PWD"
  ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=ckpt --set train.steps=4 \
    --set model.hidden_size=128 >/dev/null
}

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR/ckpt" source
  export XDG_CONFIG_HOME=$PWD/config
}
