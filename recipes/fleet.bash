# shellcheck shell=bash
# The hosts of ssh.sh: who they are, what each of them needs before a run, and what comes back from
# them after it. Sourced after job_keeper.bash; ssh.sh has the options and the processes.
# shellcheck disable=SC2034,SC2153  # ssh.sh sets some of the names here, and uses others

readonly LOST=255  # ssh's own code: no connection, or it broke

# Of each process, in an order in which the holder of cell 0,0 is the first
NAMES=()      # of its host, as ssh has it
CELLS=()      # words
ADDRESSES=()  # HOST:PORT where the others reach it, or empty
LISTENS=()    # where it listens, where that is elsewhere
BINS=() HOST_DEVICES=()
HOSTNAMES=()  # every host once
FOLLOWERS=()
BROUGHT_HOME=''

# --- the file of hosts ---

# next_port ADDRESS N: the Nth port after that of ADDRESS
next_port() { if [[ -n $1 ]]; then printf '%s:%d' "${1%:*}" $((10#${1##*:} + $2)); fi; }

check_address() {  # check_address WORD WHERE
  if ! [[ $1 =~ ^[A-Za-z0-9._-]+:[0-9]{1,5}$ || $1 =~ ^\[[0-9a-fA-F:.]+\]:[0-9]{1,5}$ ]]; then
    die_usage "$2: $1 is neither STAGE,LANE nor ADDRESS:PORT"
  fi
}

# read_plan FILE: takes its lines as those of --set, and refuses it for another job
PLAN_HOSTS=''  # of a plan: a line for each cell, HOST STAGE,LANE
read_plan() {
  local line
  need_plan "$1"
  while IFS= read -r line; do OVERRIDES+=(--set "$line"); done < <(jq -r '.set[]' "$1")
  PLAN_HOSTS=$(jq -r '.view[] | "\(.host) \(.stage),\(.lane)"' "$1")
  read_job
  if [[ $(jq -r .job_hash "$TEMP_FOLDER/job.json") != "$(jq -r .job_hash "$1")" ]]; then
    die "$EXIT_CORRUPT" "$1: made for another job than $JOB" 'plan again with this job: ptrain-probe plan'
  fi
}

# What ptrain-probe and a plan call a host where the file has no name= for it: ada@box.example is box-example.
name_in_plan() {
  local name=${1#*@}
  name=${name,,}
  printf '%s' "${name//[^a-z0-9-]/-}" | cut -c -32
}

# planned_cells NAME SSH-NAME: what the plan gives that host, in words
planned_cells() { awk -v name="$1" -v other="$2" '$1 == name || $1 == other { print $2 }' <<<"$PLAN_HOSTS" | paste -sd ' '; }

check_plan_hosts() {  # check_plan_hosts NAME...: those of the file
  local host
  while read -r host _; do
    if [[ " $* " != *" $host "* ]]; then
      die_usage "$HOSTS has no host that the plan's $host could be: name it with name=$host"
    fi
  done <<<"$PLAN_HOSTS"
}

# read_hosts FILE: sets the arrays above, STAGES, LANES and WORKERS. LANES may be set, or is the job's.
read_hosts() {
  local line number=0 word name called cells address listen bin device dealt='' all='' names=''
  local -a words=() lines=()
  if [[ ! -r $1 ]]; then die "$EXIT_IO" "file of hosts $1 cannot be read"; fi
  while IFS= read -r line || [[ -n $line ]]; do
    number=$((number + 1))
    line=${line%%#*}
    read -ra words <<<"${line%$'\r'}"
    if ((${#words[@]} == 0)); then continue; fi
    name=${words[0]} cells='' address='' listen='' bin=$BIN device=''
    called=$(name_in_plan "$name")
    if [[ $name == -* ]]; then die_usage "$1, line $number: $name is no host"; fi
    for word in "${words[@]:1}"; do
      case $word in
        listen=*) listen=${word#listen=}; check_address "$listen" "$1, line $number" ;;
        bin=?*) bin=${word#bin=} ;;
        device=?*) device=${word#device=} ;;
        name=?*) called=${word#name=} ;;
        *)
          if [[ $word =~ ^[0-9]{1,4},[0-9]{1,4}$ ]]; then
            cells+=" $word"
          else
            address=${word#tcp://}
            check_address "$address" "$1, line $number"
          fi
          ;;
      esac
    done
    if [[ -n $PLAN_HOSTS ]]; then
      if [[ -n $cells ]]; then die_usage "$1, line $number: it has cells, and --plan says who holds them"; fi
      names+=" $called $name"
      cells=$(planned_cells "$called" "$name")
      if [[ -z $cells ]]; then
        say "$name has no part in the plan"
        continue
      fi
    fi
    if [[ -n $cells ]]; then dealt=yes; fi
    lines+=("$name|${cells# }|$address|$listen|$bin|$device")
    all+=" $cells"
  done <"$1"
  if [[ -n $PLAN_HOSTS ]]; then check_plan_hosts "$names"; fi
  if ((${#lines[@]} == 0)); then die_usage "$1 names no host"; fi
  if [[ -n $dealt ]]; then
    count_cells "$all"
  else
    STAGES=${STAGES:-1}
    if [[ -z $LANES ]]; then
      read_job
      LANES=$(job_value lanes.count)
    fi
  fi
  deal_cells "$dealt" "${lines[@]}"
  WORKERS=${#NAMES[@]}
  if ((WORKERS > MOST_WORKERS)); then die_usage "$WORKERS processes: at most $MOST_WORKERS"; fi
  mapfile -t HOSTNAMES < <(printf '%s\n' "${NAMES[@]}" | awk '!seen[$0]++')
}

# count_cells CELLS: how many stages and lanes they are; whether they fit together the programs check.
count_cells() {
  local cell stages=0 lanes=0
  for cell in $1; do
    if ((10#${cell%,*} >= stages)); then stages=$((10#${cell%,*} + 1)); fi
    if ((10#${cell#*,} >= lanes)); then lanes=$((10#${cell#*,} + 1)); fi
  done
  if ((${STAGES:-$stages} != stages)); then die_usage "--stages $STAGES: $HOSTS has cells of $stages stages"; fi
  if ((${LANES:-$lanes} != lanes)); then die_usage "--lanes $LANES: $HOSTS has cells of $lanes lanes"; fi
  STAGES=$stages LANES=$lanes
}

# deal_cells DEALT LINE...: a process for each line, or for each cell where the lines have none
deal_cells() {
  local dealt=$1 name cells address listen bin device i
  local -a lines=("${@:2}")
  local count=${#lines[@]} processes
  if [[ -n $dealt ]]; then processes=$count; else processes=$((STAGES * LANES)); fi
  for ((i = 0; i < processes; i++)); do
    IFS='|' read -r name cells address listen bin device <<<"${lines[i % count]}"
    if [[ -z $dealt ]]; then cells=$((i / LANES)),$((i % LANES)); fi
    if [[ -z $cells ]]; then die_usage "$HOSTS: $name has no cell, and others have"; fi
    if [[ -z $address ]] && ((processes > 1 && ${#TICKETS[@]} == 0)); then
      die_usage "$HOSTS: $name has no ADDRESS:PORT where the others reach it, and there is no --ticket"
    fi
    add_process "$name" "$cells" "$(next_port "$address" $((i / count)))" \
      "$(next_port "$listen" $((i / count)))" "$bin" "$device"
  done
  if [[ " ${CELLS[0]} " != *' 0,0 '* ]]; then die_usage "$HOSTS: nobody holds cell 0,0"; fi
}

add_process() {
  if [[ " $2 " == *' 0,0 '* ]]; then  # it has the metrics and the result
    NAMES=("$1" "${NAMES[@]}") CELLS=("$2" "${CELLS[@]}") ADDRESSES=("$3" "${ADDRESSES[@]}")
    LISTENS=("$4" "${LISTENS[@]}") BINS=("$5" "${BINS[@]}") HOST_DEVICES=("$6" "${HOST_DEVICES[@]}")
  else
    NAMES+=("$1") CELLS+=("$2") ADDRESSES+=("$3") LISTENS+=("$4") BINS+=("$5") HOST_DEVICES+=("$6")
  fi
}

processes_on() {  # processes_on HOST: how many
  local name number=0
  for name in "${NAMES[@]}"; do
    if [[ $name == "$1" ]]; then number=$((number + 1)); fi
  done
  printf '%d' "$number"
}

first_cell() { printf '%s' "${CELLS[$1]%% *}"; }

name_of() {
  local cell
  cell=$(first_cell "$1")
  printf 'stage %d' "${cell%,*}"
  if ((LANES > 1)); then
    local lanes=''
    for cell in ${CELLS[$1]}; do lanes+=", ${cell#*,}"; done
    if [[ ${CELLS[$1]} == *' '* ]]; then printf ', lanes %s' "${lanes#, }"; else printf ', lane %s' "${lanes#, }"; fi
  fi
  printf ' on %s' "${NAMES[$1]}"
}

file_of() {
  local cell
  cell=$(first_cell "$1")
  printf 'stage-%d' "${cell%,*}"
  if ((LANES > 1)); then printf -- '-lane-%d' "${cell#*,}"; fi
}

# --- before a run ---

# over_ssh HOST FUNCTION ARGUMENT...: one of ssh_host.bash, whose standard input is ours. ssh is told to
# end where we do.
over_ssh() {
  { host_script "${@:2}"; cat; } |
    setpriv --pdeathsig TERM "${SSH[@]}" "${SSH_OPTIONS[@]}" -- "$1" bash -s
}

host_script() {
  cat "$RECIPES/ssh_host.bash"
  printf '%q ' "$@"
  printf '\n'
}

# on_all_hosts FUNCTION: calls FUNCTION NUMBER for each of HOSTNAMES at once; where one fails that ends
# all with its words and code.
on_all_hosts() {
  local i code
  local -a children=()
  for ((i = 0; i < ${#HOSTNAMES[@]}; i++)); do
    "$1" "$i" >"$TEMP_FOLDER/host-$i.printed" 2>"$TEMP_FOLDER/host-$i.said" &
    children+=($!)
  done
  for ((i = 0; i < ${#HOSTNAMES[@]}; i++)); do
    code=0
    await_process "${children[i]}" || code=$?
    if ((code == 0)); then continue; fi
    if ((code == LOST)); then code=$EXIT_UNAVAILABLE; fi
    die "$code" "${HOSTNAMES[i]}: $(tail -n 3 "$TEMP_FOLDER/host-$i.said")" \
      "does ssh get there without asking? ${SSH[*]} ${HOSTNAMES[i]} true"
  done
}

job_value() { jq -r --arg key "$1" '.job[$key]' "$TEMP_FOLDER/job.json"; }

# read_job: what the job says with --set, in JSON; a job that is none ends us here, before any host
read_job() {
  if [[ -s $TEMP_FOLDER/job.json ]]; then return; fi
  "$STAGE" job --job "$JOB" "${OVERRIDES[@]}" --json >"$TEMP_FOLDER/job.json" || exit
}

# prepare_job: what goes to every host lies in $TEMP_FOLDER/ship, files of data as links
prepare_job() {
  local digest
  if [[ -z $REMOTE ]]; then
    digest=$(printf '%s:%s' "$HOSTNAME" "$OUT" | sha256sum)
    REMOTE=ptrain/$(basename "$OUT" | tr -c 'A-Za-z0-9._\n-' _)-${digest:0:8}
  fi
  if [[ $REMOTE == *[!A-Za-z0-9._/+-]* ]]; then die_usage "--remote $REMOTE: letters, digits and . _ / + - alone"; fi
  mkdir -p "$TEMP_FOLDER/ship"
  read_job
  local -a moved=()
  if ((LANES > 1)); then OVERRIDES+=(--set "lanes.count=$LANES"); fi
  if [[ $SHIP_DATA == yes ]]; then
    link_shards train
    link_shards val
    moved=(--set "data.train=$REMOTE/data/train/*" --set "data.val=$REMOTE/data/val/*")
    if [[ $(job_value data.val) == '[]' ]]; then moved=("${moved[@]:0:2}"); fi
    if [[ $(job_value data.tokenizer) != bytes ]]; then
      link_file "$(job_value data.tokenizer)" data/tokenizer.model
      moved+=(--set "data.tokenizer=$REMOTE/data/tokenizer.model")
    fi
  fi
  "$STAGE" job --job "$JOB" "${OVERRIDES[@]}" "${moved[@]}" >"$TEMP_FOLDER/ship/job.toml" || exit
  if [[ -n $PLAN ]]; then cat "$PLAN" >"$TEMP_FOLDER/ship/plan.json"; fi
}

link_file() {  # link_file FILE PATH
  local file
  file=$(realpath -e -- "$1" 2>/dev/null) || die "$EXIT_NEGATIVE" "$1, which the job names, is not here"
  mkdir -p "$TEMP_FOLDER/ship/$(dirname "$2")"
  ln -s "$file" "$TEMP_FOLDER/ship/$2"
}

# link_shards SET: under numbers, since their order is a part of the run
link_shards() {
  local pattern file number=0
  while IFS= read -r pattern; do
    while IFS= read -r file; do
      link_file "$file" "data/$1/$(printf '%06d' "$number")-$(basename "$file")"
      number=$((number + 1))
    done < <(if [[ -e $pattern ]]; then printf '%s\n' "$pattern"; else compgen -G "$pattern" | sort; fi)
  done < <(jq -r --arg key "data.$1" '.job[$key] | if type == "array" then .[] else . end' "$TEMP_FOLDER/job.json")
  if ((number == 0)) && [[ $1 == train ]]; then
    die "$EXIT_NEGATIVE" "no file matches data.train of $JOB: nothing to bring"
  fi
}

prepare_hosts() {
  on_all_hosts prepare_host
  write_meeting
  local -a ask=()
  if [[ $RESUME == auto ]]; then find_local_checkpoint; fi
  on_all_hosts ship_to_host
}

# names_on NUMBER: of the files of the processes on that host, a line each
names_on() {
  local i
  for ((i = 0; i < WORKERS; i++)); do
    if [[ ${NAMES[i]} == "${HOSTNAMES[$1]}" ]]; then file_of "$i"; printf '\n'; fi
  done
}

prepare_host() {
  local i=0
  local -a names=()
  mapfile -t names < <(names_on "$1")
  while [[ ${NAMES[i]} != "${HOSTNAMES[$1]}" ]]; do i=$((i + 1)); done
  over_ssh "${HOSTNAMES[$1]}" prepare "$REMOTE" "${BINS[i]}" "${names[@]}" </dev/null >"$TEMP_FOLDER/host-$1"
}

# write_meeting: with what the processes find each other
write_meeting() {
  local i key ship=$TEMP_FOLDER/ship
  if ((${#TICKETS[@]} > 0)); then
    printf '%s\n' "${CELLS[@]}" >"$ship/cells"
    (umask 077 && cat "${TICKETS[0]}" >"$ship/ticket")
    return
  fi
  for ((i = 0; i < WORKERS; i++)); do
    key=$(awk -v name="$(file_of "$i")" '$1 == "key" && $2 == name { print $3 }' "$TEMP_FOLDER/host-$(number_of "${NAMES[i]}")")
    printf '%s tcp://%s#%s\n' "${CELLS[i]}" "${ADDRESSES[i]}" "$key"
  done >"$ship/endpoints"
}

number_of() {  # number_of HOST: in HOSTNAMES
  local i=0
  while [[ ${HOSTNAMES[i]} != "$1" ]]; do i=$((i + 1)); done
  printf '%d' "$i"
}

newest_here() {
  find "$OUT/ckpt" -maxdepth 2 -path '*/step-*/manifest.json' -printf '%P\n' | sort | tail -n 1 | sed 's|/.*||'
}

# who holds what: where that changed, hosts may need files of a checkpoint that they never had
layout() {
  local i
  printf '%d %d\n' "$STAGES" "$LANES"
  for ((i = 0; i < WORKERS; i++)); do printf '%s %s\n' "${NAMES[i]}" "${CELLS[i]}"; done
}

LOCAL_STEP='' SAME_LAYOUT=''
find_local_checkpoint() {
  LOCAL_STEP=$(newest_here)
  if [[ -n $LOCAL_STEP ]]; then ln -s "$OUT/ckpt" "$TEMP_FOLDER/ship/ckpt"; fi
  if [[ -f $OUT/.layout && $(<"$OUT/.layout") == "$(layout)" ]]; then SAME_LAYOUT=yes; fi
}

# holds HOST PATTERN: one of its cells matches
holds() {
  local i cell
  for ((i = 0; i < WORKERS; i++)); do
    for cell in ${CELLS[i]}; do
      # shellcheck disable=SC2053  # a pattern
      if [[ ${NAMES[i]} == "$1" && $cell == $2 ]]; then return 0; fi
    done
  done
  return 1
}

# wanted_by NUMBER: of what is to be shipped, what that host lacks, a line each
wanted_by() {
  local host=${HOSTNAMES[$1]} path there=$TEMP_FOLDER/host-$1 newest i
  local -a folders=()
  if holds "$host" '0,*' || holds "$host" "$((STAGES - 1)),*"; then folders+=(data); fi
  newest=$(sed -n 's|^file .* ckpt/\(step-[0-9]*\)/manifest.json$|\1|p' "$there" | sort | tail -n 1)
  # Who holds lane 0 of a stage reads its checkpoint.
  if [[ -n $LOCAL_STEP ]] && holds "$host" '*,0' && [[ -z $SAME_LAYOUT || $newest < $LOCAL_STEP ]]; then
    folders+=("ckpt/$LOCAL_STEP")
  fi
  cd "$TEMP_FOLDER/ship" || return
  find . -maxdepth 1 -type f -printf '%P\n'
  # A run that goes on keeps the metrics of its steps, also where another host writes them now.
  for ((i = 0; i < WORKERS; i++)); do
    if [[ -z $LOCAL_STEP || -n $SAME_LAYOUT || ${NAMES[i]} != "$host" || ! -f $OUT/$(metrics_of "$i") ]]; then continue; fi
    path=$(file_of "$i").metrics.jsonl
    ln -s "$OUT/$(metrics_of "$i")" "$path"
    printf '%s\n' "$path"
  done
  for path in "${folders[@]}"; do
    if [[ ! -e $path ]]; then continue; fi
    find -L "$path" -type f ! -name '.*' -printf 'file %s %Ts %p\n' | grep -vxFf "$there" | cut -d ' ' -f 4- || true
  done
}

ship_to_host() {
  local bytes
  wanted_by "$1" >"$TEMP_FOLDER/host-$1.wanted"
  bytes=$(cd "$TEMP_FOLDER/ship" && tr '\n' '\0' <"$TEMP_FOLDER/host-$1.wanted" | du -cLb --files0-from=- | tail -n 1 | cut -f 1)
  # Words for the person: what on_all_hosts keeps of us is for errors.
  if ((bytes > 1000000 && ${#QUIET[@]} == 0)); then
    insist_on "bringing $((bytes / 1000000)) MB to ${HOSTNAMES[$1]}" 2>&"$WORDS_FOR_PEOPLE"
  fi
  tar -c -h -C "$TEMP_FOLDER/ship" --verbatim-files-from -T "$TEMP_FOLDER/host-$1.wanted" |
    over_ssh "${HOSTNAMES[$1]}" receive "$REMOTE"
}

# --- after a run ---

bring_home() {
  local i step=''
  if [[ -n $BROUGHT_HOME ]]; then return 0; fi
  BROUGHT_HOME=yes
  if [[ $FETCH == left ]]; then return 0; fi
  if [[ $FETCH == yes ]]; then
    step=$(over_ssh "${NAMES[0]}" newest "$REMOTE" </dev/null 2>/dev/null) || step=''
    if [[ -n $step ]]; then step=$(printf 'step-%08d' "$step"); fi
    if [[ -n $step && -f $OUT/ckpt/$step/manifest.json ]]; then step=''; fi
  fi
  local -a children=()
  rm -rf "$OUT/.fetched" && mkdir "$OUT/.fetched"
  for ((i = 0; i < ${#HOSTNAMES[@]}; i++)); do
    fetch_from "$i" ${step:+"$step"} &
    children+=($!)
  done
  local missing=''
  for ((i = 0; i < ${#HOSTNAMES[@]}; i++)); do
    await_process "${children[i]}" || missing+=" ${HOSTNAMES[i]}"
  done
  if [[ -n $missing ]]; then
    insist_on "warning: nothing can be fetched from$missing: metrics may lack their last lines"
    if [[ -n $step ]]; then insist_on "checkpoint $step stays on the hosts, in $REMOTE/ckpt"; fi
  elif [[ -f $OUT/.fetched/ckpt/$step/manifest.json ]]; then
    rm -rf "${OUT:?}/ckpt/$step"  # one without a manifest is none
    mv "$OUT/.fetched/ckpt/$step" "$OUT/ckpt/$step" && layout >"$OUT/.layout"
  fi
  find "$OUT/.fetched" -maxdepth 1 -name '*.metrics.jsonl' -exec mv -t "$OUT" {} +
  if [[ -f $OUT/$(file_of 0).metrics.jsonl ]]; then mv "$OUT/$(file_of 0).metrics.jsonl" "$OUT/metrics.jsonl"; fi
  rm -rf "$OUT/.fetched"
}

fetch_from() {  # fetch_from NUMBER [STEP]
  local -a paths=()
  mapfile -t paths < <(names_on "$1" | sed 's/$/.metrics.jsonl/')
  if (($# > 1)); then paths+=("ckpt/$2"); fi
  over_ssh "${HOSTNAMES[$1]}" deliver "$REMOTE" "${paths[@]}" </dev/null 2>/dev/null | tar -x -C "$OUT/.fetched"
}
