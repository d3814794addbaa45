#!/usr/bin/env bash
# The loss curve of a run, from its metrics, as a PNG.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: plot.sh METRICS -o PICTURE [--title TEXT]

Draws the training loss of every step (thin), its running mean over a fiftieth
of the run (thick), and the validation loss (points) from METRICS, a file of
stage 0's metrics, against steps and tokens. Needs gnuplot.

  -o PICTURE    the PNG to write
  --title TEXT  above the picture

Example:
  ./recipes/plot.sh out/quickstart/metrics.jsonl -o loss.png
TEXT
}

METRICS='' PICTURE='' TITLE=''

parse_options() {
  while (($#)); do
    case $1 in
      -o) need_value "$@"; PICTURE=$2; shift ;;
      --title) need_value "$@"; TITLE=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      -*) die_usage "unknown option: $1" ;;
      *) if [[ -n $METRICS ]]; then die_usage "one METRICS file, not also $1"; fi; METRICS=$1 ;;
    esac
    shift
  done
  if [[ -z $METRICS || -z $PICTURE ]]; then die_usage "METRICS and -o PICTURE are needed"; fi
}

# Two tables in the temporary folder: step, loss, running mean; step, validation loss. A run
# that was continued has written some steps twice: the last writing counts. A last line that
# was cut off when the run was killed is passed over.
tabulate() {
  local rows
  # shellcheck disable=SC2016  # jq's own variables
  rows='reduce (inputs | fromjson? | select(type == "object" and .step and .[$key])) as $line
    ({}; .[$line.step | tostring] = $line[$key]) | to_entries | map([(.key | tonumber), .value]) | sort[] | @tsv'
  jq -nRr --arg key loss "$rows" "$METRICS" >"$TEMP_FOLDER/losses"
  jq -nRr --arg key val_loss "$rows" "$METRICS" >"$TEMP_FOLDER/validation"
  # A step's tokens follow from its speed and its duration, where the metrics have both.
  TOKENS_PER_STEP=$(jq -nRr '[inputs | fromjson? | select(type == "object" and .tokens_per_s and .step_s)
    | .tokens_per_s * .step_s | round] | first // empty' "$METRICS")
  awk '{ step[NR] = $1; loss[NR] = $2 }
    END {
      half = int(NR / 100)
      for (i = 1; i <= NR; i++) before[i + 1] = before[i] + loss[i]
      for (i = 1; i <= NR; i++) {
        reach = half; if (i - 1 < reach) reach = i - 1; if (NR - i < reach) reach = NR - i
        print step[i], loss[i], (before[i + reach + 1] - before[i - reach]) / (2 * reach + 1)
      }
    }' "$TEMP_FOLDER/losses" >"$TEMP_FOLDER/train"
}

# The axis above: which unit it counts in, how many tokens that is, and the distance of its
# ticks, a round number such that about six of them make the run.
token_axis() {
  tail -n 1 "$TEMP_FOLDER/train" | awk -v each="$TOKENS_PER_STEP" '{
    total = $1 * each; unit = "tokens"; size = 1
    if (total >= 1e3) { unit = "thousand tokens"; size = 1e3 }
    if (total >= 1e6) { unit = "million tokens"; size = 1e6 }
    if (total >= 1e9) { unit = "billion tokens"; size = 1e9 }
    ideal = total / size / 6; power = 1e-3; while (power * 10 <= ideal) power *= 10
    print size, (ideal <= 2 * power ? 2 : ideal <= 5 * power ? 5 : 10) * power, unit }'
}

draw() {
  local plots second_axis=''
  plots="'$TEMP_FOLDER/train' using 1:2 with lines lw 1 lc rgb '#c6d4e8' title 'training, each step',
    '' using 1:3 with lines lw 2.5 lc rgb '#2f5d9b' title 'training, running mean'"
  if [[ -s $TEMP_FOLDER/validation ]]; then
    plots+=", '$TEMP_FOLDER/validation' using 1:2 with linespoints lw 1.5 pt 7 ps 1.1 lc rgb '#d1622b' title 'validation'"
  fi
  if [[ -n $TOKENS_PER_STEP ]]; then
    local size distance unit
    read -r size distance unit < <(token_axis)
    second_axis="set border 7
      set link x2 via x * $TOKENS_PER_STEP.0 / $size inverse x / $TOKENS_PER_STEP.0 * $size
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

main() {
  parse_options "$@"
  need_tool jq jq
  need_tool gnuplot gnuplot-nox
  if [[ ! -r $METRICS ]]; then die "$EXIT_IO" "metrics $METRICS cannot be read"; fi
  make_temp_folder
  tabulate
  if [[ ! -s $TEMP_FOLDER/train ]]; then
    die "$EXIT_CORRUPT" "$METRICS holds no step with a loss" \
      "give it the metrics of stage 0, written by ptrain-stage run --metrics FILE"
  fi
  draw 2>"$TEMP_FOLDER/said" || die "$EXIT_IO" "gnuplot failed: $(head -n 5 "$TEMP_FOLDER/said")"
  cp "$TEMP_FOLDER/picture.png" "$PICTURE" || die "$EXIT_IO" "picture $PICTURE cannot be written"
}

main "$@"
