#!/usr/bin/env bats
# Every example of the manual and of --help runs as it stands, in a folder of somebody who has the
# texts and a run, on a host that goes by all the names in them (example_host.bash). What a person
# replaces (KEY, WORD) is replaced. Numbers are small: the job takes a second.

load helper
load example_host

setup_file() {
  export WORLD=$BATS_FILE_TMPDIR/world
  example_world "$WORLD"
}

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  cp -a "$WORLD/." .
}

# runs SCRIPT: without an error, and without an answer that is none.
runs() {
  on_example_host "$1" >printed 2>said </dev/null || { cat "$1" printed said; return 1; }
  ! grep -nx null printed || { cat "$1" printed; return 1; }
}

# page_examples PAGE: the fenced blocks of its EXAMPLES
page_examples() {
  awk '/^# / { wanted = ($0 == "# EXAMPLES"); next }
    wanted && /^```/ { inside = !inside; next }
    wanted && inside' "$ROOT/man/$1.scd"
}

# page PAGE [BEFORE]: runs its examples, in order, in one folder; BEFORE is what they need.
page() {
  local examples
  examples=$(page_examples "$1" | runnable)
  [[ -n $examples ]] || { echo "$1 has no example"; return 1; }
  rm -rf data  # they make their own
  printf '%s\n' "${2-}" "$examples" >"$1.sh"
  runs "$1.sh"
}

@test "the examples of ptrain-data(1) run" { page ptrain-data.1; }

@test "the examples of ptrain-stage(1) run" { page ptrain-stage.1; }

@test "the examples of ptrain-ckpt(1) run" { page ptrain-ckpt.1 'holder run/ckpt'; }

@test "the examples of ptrain-relay(1) run" { page ptrain-relay.1; }

@test "the examples of ptrain-punch(1) run" { page ptrain-punch.1 router; }

@test "the examples of ptrain-probe(1) run" { page ptrain-probe.1 'planned; serving_run'; }

@test "the examples of ptrain-checkpoint(5) run" {
  page ptrain-checkpoint.5 'cp -a run/ckpt .'
  grep -qx 0.0015 printed
}

@test "the examples of ptrain-recipes(7) run" { page ptrain-recipes.7; }

@test "the examples of ptrain-parallel(7) run" { page ptrain-parallel.7; }

@test "the examples of ptrain-lab(7) run" { page ptrain-lab.7; }

# That of ptrain-job(5) is a job, which the unit tests read.
@test "no other page has examples" {
  local file
  for file in "$ROOT"/man/*.scd; do
    grep -q '^# EXAMPLES' "$file" || continue
    file=$(basename "$file" .scd)
    [[ $file == ptrain-job.5 ]] || grep -q " page $file\b" "$BATS_TEST_FILENAME" || { echo "$file"; return 1; }
  done
}

# help_examples COMMAND...: the commands under the last "Example:" of its --help
help_examples() { "$@" --help | awk '/^Examples?[:,]/ { inside = 1; next } inside && /^  / { sub("^  ", ""); print }'; }

# before COMMAND...: what its example needs
# shellcheck disable=SC2016  # the host expands it
before() {
  case "$*" in
    'ptrain-ckpt fetch' | 'ptrain-ckpt replicate') echo 'holder run/ckpt' ;;
    'ptrain-probe link') echo measured ;;
    'ptrain-probe plan') echo planned ;;
    'ptrain-probe matrix') echo serving_run ;;
    'ptrain-probe nat') echo relay ;;
    'ptrain-ckpt merge') echo 'mkdir one two; cp -a run/ckpt one; cp -a run/ckpt two' ;;
    'ptrain-ckpt import') echo 'ptrain-ckpt export run/ckpt/latest --hf my-model >exported' ;;
    'ptrain-data decode' | 'ptrain-data info') echo 'cp -a data tokens' ;;
    'ptrain-stage ledger')
      cat <<'END'
mkdir a b
for peer in a b; do
  printf '{"kind":"begin","version":1,"peer":"%s","job_hash":"5eed","samples_per_step":8,' $peer
  printf '"stages":1,"lanes":2,"siblings_alike":true}\n'
done | tee a/ledger.jsonl >b/ledger.jsonl
END
      ;;
    'ptrain-data train-tokenizer') echo 'cp recipes/corpus/alice.txt .' ;;
    'ptrain-relay') echo "WORD=tcp://relay.example.net:7100#\$KEY,data=7101" ;;
    'ptrain-punch'*) echo router ;;
    'ptrain-relay peers' | 'ptrain-relay runs' | 'ptrain-relay top' | 'ptrain-relay ticket' | \
      'ptrain-relay ticket new') echo relay ;;
    'ptrain-relay ticket '*) echo 'relay; ticket' ;;
    # The other two stages of the second example, once the first has ended.
    'ptrain-stage run') echo 'relay; ticket; (until grep -q "\"done\"" metrics.jsonl; do sleep 0.1; done
      for i in 1 2; do ptrain-stage run --job job.toml --ticket alice.ticket --stages 3 --stage "$i" & done; wait) \
      >others 2>&1 &' ;;
  esac
}

# of_program PROGRAM: runs the example of each of its commands
of_program() {
  local words
  while read -ra words; do
    rm -rf here && mkdir here && cp -a "$WORLD/." here
    { before "${words[@]}"; help_examples "${words[@]}" | runnable; } >here/example.sh
    grep -qE "^([a-z_]+;? )*$1" here/example.sh || { echo "${words[*]} --help has no example"; return 1; }
    (cd here && runs example.sh) || { echo "the example of ${words[*]} --help"; return 1; }
  done < <(commands "$1")
}

@test "the examples of ptrain-data --help run" { of_program ptrain-data; }

@test "the examples of ptrain-stage --help run" { of_program ptrain-stage; }

@test "the examples of ptrain-ckpt --help run" { of_program ptrain-ckpt; }

@test "the examples of ptrain-relay --help run" { of_program ptrain-relay; }

# build.sh would build everything: tests/cli/build.bats tries it.
@test "the examples of ptrain-punch --help run" { of_program ptrain-punch; }

@test "the examples of ptrain-probe --help run" { of_program ptrain-probe; }

@test "the examples of the recipes' --help run" {
  local recipe
  for recipe in pipeline grid data-parallel quickstart plot relay-pipeline nat-pipeline install-deps lab/lab; do
    if [[ $recipe == plot ]]; then
      cp -a out/two out/one
      # shellcheck source=measured_hosts.bash
      . "$ROOT/tests/cli/measured_hosts.bash"
      links_of "$EPOCHSECONDS" >links.json
    fi
    help_examples "recipes/$recipe.sh" >example.sh
    [[ -s example.sh ]]
    runs example.sh
  done
}
