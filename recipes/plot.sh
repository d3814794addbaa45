#!/usr/bin/env bash
# The loss curves of runs, from their metrics, or the links between hosts, as a PNG.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: plot.sh RUN... -o PICTURE [--time | --links] [--title TEXT] [--quiet]

Draws the training loss of every step (thin), its running mean over a fiftieth
of the run (thick), and the validation loss (points) against steps and tokens.
RUN is a file of stage 0's metrics, or the folder of a run that holds one as
metrics.jsonl. Several runs, 8 at most, are drawn in one picture, without their
single steps. Needs gnuplot.

With --time it draws what the steps of every stage spent their time on instead:
computing, waiting for the stage before and the one after, and what else there
is. A RUN that is a folder has all its stages there.

With --links, RUN is what ptrain-probe matrix --json wrote, one file. It draws a map
of the rates, a row for who sends and a column for who receives; what failed stays
white, and what is stale has a star.

  -o PICTURE    the PNG to write
  --time        a bar for each stage instead of curves
  --links       a map of the links between hosts
  --title TEXT  above the picture
  -q, --quiet   say nothing but errors

Example:
  ./recipes/plot.sh out/quickstart -o loss.png
  ./recipes/plot.sh out/one out/two -o both.png
  ./recipes/plot.sh out/two --time -o time.png
  ./recipes/plot.sh links.json --links -o links.png
TEXT
}

readonly MOST_RUNS=8
# Of the runs' curves.
readonly COLOURS=('#2f5d9b' '#d1622b' '#3a8a4d' '#8f4aa8' '#b8912a' '#c0395b' '#3c8fa3' '#6b6b6b')

RUNS=() PICTURE='' TITLE='' TIME=no LINKS=no
FILES=()  # the metrics of each run

parse_options() {
  while (($#)); do
    case $1 in
      -o) need_value "$@"; PICTURE=$2; shift ;;
      --title) need_value "$@"; TITLE=$2; shift ;;
      -q | --quiet) QUIET=(--quiet) ;;
      --time) TIME=yes ;;
      --links) LINKS=yes ;;
      -h | --help) usage; exit 0 ;;
      -*) die_usage "unknown option: $1" ;;
      *) RUNS+=("${1%/}") ;;
    esac
    shift
  done
  if ((${#RUNS[@]} == 0)) || [[ -z $PICTURE ]]; then die_usage "RUN and -o PICTURE are needed"; fi
  if [[ $LINKS == yes && ($TIME == yes || ${#RUNS[@]} != 1) ]]; then
    die_usage "--links: of one file, and without --time"
  fi
  if ((${#RUNS[@]} > MOST_RUNS)); then die_usage "${#RUNS[@]} runs: one picture shows $MOST_RUNS at most"; fi
}

find_metrics() {
  local run file
  for run in "${RUNS[@]}"; do
    file=$run
    if [[ -d $run ]]; then file=$run/metrics.jsonl; fi
    if [[ ! -r $file ]]; then die "$EXIT_IO" "metrics $file cannot be read"; fi
    FILES+=("$file")
  done
}

# tabulate NUMBER: two tables of that run in the temporary folder: step, loss, running mean; step,
# validation loss. A run that was continued has written some steps twice: the last writing counts. A
# last line that was cut off when the run was killed is passed over.
TOKENS_PER_STEP=()  # of each run, empty where its metrics do not say
tabulate() {
  local rows metrics=${FILES[$1]}
  # shellcheck disable=SC2016  # jq's own variables
  rows='reduce (inputs | fromjson? | select(type == "object" and .step and .[$key])) as $line
    ({}; .[$line.step | tostring] = $line[$key]) | to_entries | map([(.key | tonumber), .value]) | sort[] | @tsv'
  jq -nRr --arg key loss "$rows" "$metrics" >"$TEMP_FOLDER/losses"
  jq -nRr --arg key val_loss "$rows" "$metrics" >"$TEMP_FOLDER/validation-$1"
  # A step's tokens follow from its speed and its duration, where the metrics have both.
  TOKENS_PER_STEP[$1]=$(jq -nRr '[inputs | fromjson? | select(type == "object" and .tokens_per_s and .step_s)
    | .tokens_per_s * .step_s | round] | first // empty' "$metrics")
  awk '{ step[NR] = $1; loss[NR] = $2 }
    END {
      half = int(NR / 100)
      for (i = 1; i <= NR; i++) before[i + 1] = before[i] + loss[i]
      for (i = 1; i <= NR; i++) {
        reach = half; if (i - 1 < reach) reach = i - 1; if (NR - i < reach) reach = NR - i
        print step[i], loss[i], (before[i + reach + 1] - before[i - reach]) / (2 * reach + 1)
      }
    }' "$TEMP_FOLDER/losses" >"$TEMP_FOLDER/train-$1"
  if [[ ! -s $TEMP_FOLDER/train-$1 ]]; then
    die "$EXIT_CORRUPT" "$metrics holds no step with a loss" \
      "give it the metrics of stage 0, written by ptrain-stage run --metrics FILE"
  fi
}

# Steps that mean as many tokens in all runs have an axis of them.
common_tokens_per_step() {
  local each
  for each in "${TOKENS_PER_STEP[@]}"; do
    if [[ $each != "${TOKENS_PER_STEP[0]}" ]]; then return; fi
  done
  printf '%s' "${TOKENS_PER_STEP[0]}"
}

# token_axis TOKENS: the axis above: which unit it counts in, how many tokens that is, and the
# distance of its ticks, a round number such that about six of them make the longest run.
token_axis() {
  tail -qn 1 "$TEMP_FOLDER"/train-* | sort -n | tail -n 1 | awk -v each="$1" '{
    total = $1 * each; unit = "tokens"; size = 1
    if (total >= 1e3) { unit = "thousand tokens"; size = 1e3 }
    if (total >= 1e6) { unit = "million tokens"; size = 1e6 }
    if (total >= 1e9) { unit = "billion tokens"; size = 1e9 }
    ideal = total / size / 6; power = 1e-3; while (power * 10 <= ideal) power *= 10
    print size, (ideal <= 2 * power ? 2 : ideal <= 5 * power ? 5 : 10) * power, unit }'
}

# What gnuplot draws of the only run.
plots_of_one() {
  printf "'%s' using 1:2 with lines lw 1 lc rgb '#c6d4e8' title 'training, each step'" "$TEMP_FOLDER/train-0"
  printf ", '' using 1:3 with lines lw 2.5 lc rgb '%s' title 'training, running mean'" "${COLOURS[0]}"
  if [[ -s $TEMP_FOLDER/validation-0 ]]; then
    printf ", '%s' using 1:2 with linespoints lw 1.5 pt 7 ps 1.1 lc rgb '%s' title 'validation'" \
      "$TEMP_FOLDER/validation-0" "${COLOURS[1]}"
  fi
}

# Of several: each a colour, and its name as it was given.
plots_of_many() {
  local i comma=''
  for ((i = 0; i < ${#RUNS[@]}; i++)); do
    printf "%s'%s' using 1:3 with lines lw 2 lc rgb '%s' title '%s' noenhanced" "$comma" \
      "$TEMP_FOLDER/train-$i" "${COLOURS[i]}" "${RUNS[i]//\'/\'\'}"
    comma=', '
    if [[ -s $TEMP_FOLDER/validation-$i ]]; then
      printf ", '%s' using 1:2 with points pt 7 ps 1.1 lc rgb '%s' notitle" \
        "$TEMP_FOLDER/validation-$i" "${COLOURS[i]}"
    fi
  done
}

draw() {
  local plots tokens second_axis=''
  if ((${#RUNS[@]} == 1)); then plots=$(plots_of_one); else plots=$(plots_of_many); fi
  tokens=$(common_tokens_per_step)
  if [[ -n $tokens ]]; then
    local size distance unit
    read -r size distance unit < <(token_axis "$tokens")
    second_axis="set border 7
      set link x2 via x * $tokens.0 / $size inverse x / $tokens.0 * $size
      set x2tics $distance
      set x2label '$unit'"
  fi
  gnuplot <<PLOT
set terminal pngcairo size 1000,600 font 'DejaVu Sans,11'
set output '$TEMP_FOLDER/picture.png'
set title '${TITLE//\'/\'\'}' font ',13' noenhanced
set xlabel 'step'
set ylabel 'loss, nats per token'
set border 3 lc rgb '#606060'
set tics nomirror textcolor rgb '#404040'
set grid ytics lc rgb '#d8d8d8' lw 0.7
set rmargin 4
set key top right noautotitle
set autoscale xfixmin
set autoscale xfixmax
set offsets graph 0, graph 0.01, graph 0.03, 0
$second_axis
plot ${plots//$'\n'/ }
PLOT
}

# --- with --time: a bar for each stage ---

# tabulate_time: into the table "time" of the temporary folder, a line for every stage of every run:
# its name, and what parts of its steps, in percent, it computed, waited for the stage before and for
# the one after, and spent on the rest: agreeing on the step, coding, reading data.
tabulate_time() {
  local i file stage name
  for ((i = 0; i < ${#RUNS[@]}; i++)); do
    for ((stage = 0; ; stage++)); do
      file=${FILES[i]} name=${RUNS[i]}
      if [[ -d ${RUNS[i]} ]]; then
        if ((stage > 0)); then file=${RUNS[i]}/stage-$stage.metrics.jsonl; fi
        if ((${#RUNS[@]} == 1)); then name="stage $stage"; else name="${RUNS[i]}, stage $stage"; fi
        if [[ ! -r $file ]]; then break; fi
      elif ((stage > 0)); then
        break
      fi
      time_row "$file" "${name//$'\t'/ }"
    done
  done >"$TEMP_FOLDER/time"
}

# A run that was continued has written some steps twice, which changes no share to speak of.
time_row() {  # time_row METRICS NAME
  local row
  row=$(jq -nRr --arg name "$2" '
    [inputs | fromjson? | select(type == "object" and .step_s and .compute_s)]
    | if length == 0 then empty else
      (map(.step_s) | add) as $all
      | [["compute_s", "wait_previous_s", "wait_next_s"][] as $part | 100 * (map(.[$part] // 0) | add) / $all]
      | [$name, .[], ([100 - add, 0] | max)] | @tsv end' "$1")
  if [[ -z $row ]]; then
    die "$EXIT_CORRUPT" "$1 holds no step with its time" \
      "give it the metrics of a stage, written by ptrain-stage run --metrics FILE"
  fi
  printf '%s\n' "$row"
}

draw_time() {
  gnuplot <<PLOT
set terminal pngcairo size 1000,600 font 'DejaVu Sans,11'
set output '$TEMP_FOLDER/picture.png'
set datafile separator '\t'
set title '${TITLE//\'/\'\'}' font ',13' noenhanced
set ylabel 'of the step, %'
set yrange [0:100]
set border 3 lc rgb '#606060'
set tics nomirror textcolor rgb '#404040' noenhanced
set grid ytics lc rgb '#d8d8d8' lw 0.7
set key outside right noautotitle
set style data histograms
set style histogram rowstacked
set style fill solid 0.9
set boxwidth 0.7
plot '$TEMP_FOLDER/time' using 2:xtic(1) lc rgb '${COLOURS[0]}' title 'computing', \
  '' using 3 lc rgb '${COLOURS[1]}' title 'waiting for the stage before', \
  '' using 4 lc rgb '${COLOURS[4]}' title 'waiting for the stage after', \
  '' using 5 lc rgb '#c8c8c8' title 'else'
PLOT
}

# --- with --links: a map of the rates between hosts ---

# Two tables: each pair's column, row, rate in Mbit/s and what is written on it; the hosts' names.
tabulate_links() {
  local links=${FILES[0]}
  # Names go into gnuplot's commands: others than the file may have are no names.
  if ! jq -e '.kind == "links" and (.pairs | length > 0)
      and (.hosts | length > 0 and all(.name | test("^[A-Za-z0-9._-]{1,128}$")))' "$links" >"$TEMP_FOLDER/is" 2>&1; then
    die "$EXIT_CORRUPT" "$links holds no links between hosts" \
      "give it what ptrain-probe matrix --json wrote"
  fi
  jq -r '.hosts[].name' "$links" >"$TEMP_FOLDER/hosts"
  # shellcheck disable=SC2016  # jq's own variables
  jq -r '(.hosts | map(.name) | to_entries | map({key: .value, value: .key}) | from_entries) as $place
    | .pairs[] | select(.rate_bytes_per_s and (.failed | not)) | (.rate_bytes_per_s * 8e-6) as $mbit
    | [$place[.to], $place[.from], $mbit,
       (if $mbit < 10 then $mbit * 10 | round / 10 else $mbit | round end | tostring)
       + (if .detail.stale? then "*" else "" end)] | @tsv' "$links" >"$TEMP_FOLDER/links"
}

draw_links() {
  local tics='' name i=0
  while read -r name; do
    tics+="${tics:+, }'$name' $i"
    i=$((i + 1))
  done <"$TEMP_FOLDER/hosts"
  gnuplot <<PLOT
set terminal pngcairo size 1000,900 font 'DejaVu Sans,11'
set output '$TEMP_FOLDER/picture.png'
set datafile separator '\t'
set title '${TITLE//\'/\'\'}' font ',13' noenhanced
set xlabel 'to'
set ylabel 'from'
set cblabel 'Mbit/s'
set xrange [-0.5:$i - 0.5]
set yrange [$i - 0.5:-0.5]
set xtics ($tics) rotate by 45 right noenhanced
set ytics ($tics) noenhanced
set tics nomirror textcolor rgb '#404040'
set border 3 lc rgb '#606060'
set logscale cb
set palette defined (0 '#d1622b', 1 '#f3e3b3', 2 '#2f5d9b')
unset key
plot '$TEMP_FOLDER/links' using 1:2:3 with points pt 5 ps 0 palette, \
  '' using 1:2:(0.46):(0.46):3 with boxxyerror fs solid 0.85 noborder palette, \
  '' using 1:2:4 with labels font ',9' noenhanced
PLOT
}

main() {
  parse_options "$@"
  need_tool jq jq
  need_tool gnuplot gnuplot-nox
  find_metrics
  make_temp_folder
  local i drawing=draw
  if [[ $LINKS == yes ]]; then
    tabulate_links
    drawing=draw_links
  elif [[ $TIME == yes ]]; then
    tabulate_time
    drawing=draw_time
  else
    for ((i = 0; i < ${#RUNS[@]}; i++)); do tabulate "$i"; done
  fi
  $drawing 2>"$TEMP_FOLDER/said" || die "$EXIT_IO" "gnuplot failed: $(head -n 5 "$TEMP_FOLDER/said")"
  cp "$TEMP_FOLDER/picture.png" "$PICTURE" || die "$EXIT_IO" "picture $PICTURE cannot be written"
}

main "$@"
