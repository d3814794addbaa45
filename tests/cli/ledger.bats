#!/usr/bin/env bats
# ptrain-stage ledger: what the ledgers of a run's peers say together.

load helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ledger a 0 >a.jsonl
  ledger b 1 >b.jsonl
}

# begin PEER [MORE]: the line with which a process begins
begin() {
  printf '{"kind":"begin","version":1,"peer":"%s","job_hash":"5eed","samples_per_step":8,"stages":1,"lanes":2,"siblings_alike":true%s}\n' \
    "$1" "${2-}"
}

# part STEP LANE FIRST END [MORE]: a cell's part of a step
part() {
  printf '{"kind":"step","step":%d,"epoch":0,"cell":[0,%d],"samples":[[%d,%d]],"compute_s":1800.0,"tx_bytes":100%s}\n' \
    "$1" "$2" "$3" "$4" "${5-}"
}

# ledger PEER LANE: three steps of who holds that lane
ledger() {
  local step
  begin "$1"
  for step in 1 2 3; do part "$step" "$2" $(($2 * 4)) $(($2 * 4 + 4)); done
  printf '{"kind":"digest","step":3,"cell":[0,%d],"sha256":"%064d"}\n' "$2" 7
}

@test "a run whose every sample was used once is sound, and who did how much is said" {
  expect 0 ptrain-stage ledger a.jsonl b.jsonl
  prints 'steps 1 to 3: 24 samples, each used once by every stage'
  prints '2 digests, which agree'
  prints 'a: 12 samples (0 of them replayed), 1.50 hours, 300 bytes sent'
  [[ -z $stderr ]]
  expect 0 ptrain-stage ledger --json a.jsonl b.jsonl
  [ "$(jq -c '[.sound, .first_step, .last_step, .samples, .digests, .peers[1].peer, (.peers[1].compute_s | floor)]' <<<"$output")" = \
    '[true,1,3,24,2,"b",5400]' ]
}

@test "a step that one peer alone tells of is open, at the end of a run" {
  part 4 0 0 4 >>a.jsonl
  expect 0 ptrain-stage ledger a.jsonl b.jsonl
  prints '1 later steps are not told of by all holders'
  expect 0 ptrain-stage ledger --json a.jsonl b.jsonl
  [ "$(jq .open_steps <<<"$output")" = 1 ]
}

@test "without a peer's ledger nothing is shown, and it says whose part is missing" {
  expect 1 ptrain-stage ledger a.jsonl
  prints 'problem: no step is told of by the holders of all cells: of step 1, nobody tells of cell 0,1'
}

@test "a part that is missing, told twice or dealt twice is a negative answer" {
  sed -i '/"step":2/d' b.jsonl
  expect 1 ptrain-stage ledger a.jsonl b.jsonl
  prints 'problem: step 2: nobody tells of cell 0,1'
  { part 2 1 4 8; part 2 1 4 8; } >>b.jsonl
  expect 1 ptrain-stage ledger a.jsonl b.jsonl
  prints 'neither replayed it'
  sed -i '$d' b.jsonl
  part 2 1 4 8 ',"replayed":true' >>b.jsonl
  expect 0 ptrain-stage ledger a.jsonl b.jsonl
  prints 'b: 16 samples (4 of them replayed)'
  sed -i '/"step":3/s/\[4,8\]/[3,8]/' b.jsonl
  expect 1 ptrain-stage ledger --json a.jsonl b.jsonl
  [ "$(jq -r '.problems[0]' <<<"$output")" = 'step 3: sample 3 was used by cell 0,0 and by cell 0,1' ]
  [ "$(jq -r .sound <<<"$output")" = false ]
}

@test "states that should be equal and are not are said" {
  sed -i 's/07"/08"/' b.jsonl
  expect 1 ptrain-stage ledger a.jsonl b.jsonl
  prints 'problem: after step 3, cell 0,0 of a (a.jsonl:5) has SHA-256 '
}

@test "ledgers of two jobs are not of one run" {
  sed -i 's/5eed/f00d/' b.jsonl
  expect 1 ptrain-stage ledger a.jsonl b.jsonl
  prints 'problem: b.jsonl:1: job_hash f00d, a.jsonl:1 has 5eed: not of one job'
}

@test "a line that a killed process left unfinished is passed over, other damage is not" {
  printf '{"kind":"st' >>a.jsonl
  expect 0 ptrain-stage ledger a.jsonl b.jsonl
  { printf '\n'; begin a; part 4 0 0 4; } >>a.jsonl
  expect 0 ptrain-stage ledger a.jsonl b.jsonl
  sed -i '3s/"step":2/"step":-2/' a.jsonl
  expect 65 ptrain-stage ledger a.jsonl b.jsonl
  says 'a.jsonl:3: step is -2'
  echo nonsense >nonsense
  expect 65 ptrain-stage ledger nonsense
}

@test "what a resumed run does again replaces what it had done" {
  for peer in a b; do begin "$peer" ',"goes_on_from":2' >>"$peer.jsonl"; done
  expect 0 ptrain-stage ledger a.jsonl b.jsonl
  prints 'steps 1 to 2: 16 samples'
}

@test "a file that is not there is named" {
  expect 74 ptrain-stage ledger a.jsonl nowhere.jsonl
  says nowhere.jsonl
  expect 2 ptrain-stage ledger
}
