#!/usr/bin/env bash
# Whether the tests of sums over lanes find what they are there for: defects, planted one at a time.
# shellcheck source=../../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../../recipes/lib.sh"
# shellcheck source=../../parts.sh
. "$ROOT/tests/parts.sh"

# A name, a file of libcommon, and what sed(1) does to it.
defects() {
  cat <<'TABLE'
window_of_senders_too_large reduce/all_reduce.cc s/chunk.sent - chunk.summed >= plan_/chunk.sent - chunk.summed > plan_/
window_of_owners_too_large reduce/all_reduce.cc s/part.piece - chunk.summed >= plan_/part.piece - chunk.summed > plan_/
subtotals_twice_are_added reduce/all_reduce.cc s/if (open != open_.end() && open->second.arrived.contains(part.lanes)) return;//
totals_twice_are_taken reduce/all_reduce.cc /too early\|still to come/{n;s/if (chunk.here.*return;//}
scratch_of_both_halves_is_one reduce/all_reduce.cc s/depth + 2/depth + 1/
later_pieces_count_as_leave reduce/all_reduce.cc s/while (chunk.summed < chunk.pieces && chunk.here.chunk.summed.) ++chunk.summed;/++chunk.summed;/
totals_are_not_checked reduce/all_reduce.cc /void AllReduce::take_total/,/^}/s/  check(from, part, bytes, elements);//
infinite_sums_go_on reduce/all_reduce.cc s/if (const auto flaw = codec_.flaw_of(sum.bytes/if (const auto flaw = std::optional<std::string>(); false \&\& codec_.flaw_of(sum.bytes/
waiting_bytes_are_not_counted reduce/all_reduce.cc s/held_bytes_ -= other->second.size();//
a_total_of_other_lanes_is_taken reduce/all_reduce.cc s/if (part.lanes != root_) refuse/if (false) refuse/
nobody_is_awaited_for_totals reduce/all_reduce.cc s/if (subtotal || total) members/if (subtotal) members/
nobody_is_awaited_for_subtotals reduce/all_reduce.cc s/if (subtotal || total) members/if (total) members/
sums_flush_subnormals reduce/all_reduce.cc /^bool AllReduce::work/,/^}/s/  const SubnormalMode mode.*//
arrivals_flush_subnormals reduce/all_reduce.cc /^void AllReduce::arrived/,/^}/s/  const SubnormalMode mode.*//
encoders_flush_subnormals reduce/edge_codec.cc /EdgeCodec::encode/,/^}/s/  const SubnormalMode mode.*//
adders_flush_subnormals reduce/edge_codec.cc /EdgeCodec::decode_add/,/^}/s/  const SubnormalMode mode.*//
checks_flush_subnormals reduce/edge_codec.cc /EdgeCodec::flaw_of/,/^}/s/  const SubnormalMode mode.*//
feedback_is_not_added reduce/residuals.cc s/codec.encode(residual, out)/codec.encode(values, out)/
places_of_shared_edges_are_whole reduce/residuals.cc s/places.push_back({edge, plan.chunks.m., MemberIndex(m)})/places.push_back({edge, {0, plan.elements()}, MemberIndex(m)})/
moves_go_back reduce/residuals.cc s/{to.edge, part, from.member, to.member}/{to.edge, part, to.member, from.member}/
nodes_are_split_in_the_middle reduce/lane_tree.cc s/std::bit_floor(node.count() - 1)/node.count() \/ 2/
the_way_down_is_free reduce/chunking.cc /subtotals - own - 1, s_per_byte/d
shares_are_rounded_down reduce/chunking.cc s/std::nearbyint(/std::floor(/
ties_of_bf16_go_up reduce/kernels/bfloat16.cc s/0x7fffU + ((bits >> 16) & 1U)/0x8000U/
bf16_becomes_infinite reduce/kernels/bfloat16.cc s/size_bits < kLargestFinite ? size_bits : kLargestFinite/size_bits/
int8_scales_are_too_large reduce/kernels/integers.cc s/return {scale < most ? scale : most/return {scale/
int4_forgets_the_last_element reduce/kernels/integers.cc s/nibble(from.half - 1. . inverse) |/8 |/
top_k_keeps_the_last_of_equal_ones reduce/top_k_codec.cc s/left > right : a < b/left > right : b < a/
top_k_keeps_zeros reduce/top_k_codec.cc s/if (bits == 0) continue;//
positions_may_go_back reduce/top_k_codec.cc s/position < count && position >= before/position < count/
levels_may_be_negative reduce/top_k_codec.cc s/std::isfinite(level) && level >= 0/std::isfinite(level)/
momentum_without_nesterov reduce/kernels/outer.cc s/gradient + momentum \* v/v/
the_sum_is_no_mean reduce/kernels/outer.cc s/sum.i. \/ weight/sum[i]/
outer_steps_flush_subnormals reduce/outer_step.cc /^void outer_step/,/^}/s/  const SubnormalMode mode.*//
what_is_under_way_is_lost_in_the_end reduce/fragments.cc s/std::max<std::uint64_t>(latest, 1); begun <= step/step; begun <= step/
parts_share_a_block reduce/fragments.cc s/(end + kBlockElements - 1) . kBlockElements . kBlockElements/end/
bytes_may_be_of_another_size reduce/part_message.cc s/message.payload.size() == part.bytes/true/
lanes_beyond_the_last reduce/part_message.cc s/ && lanes.end <= kMaxLanes//
early_parts_are_dropped lanes/lane_sums.cc s/early_.push_back({from.*//
earlier_parts_are_kept lanes/lane_sums.cc s/!latest || part.sum > .latest/true/
a_loss_is_not_looked_at lanes/lane_sums.cc s/if (sum_ && !busy) check_losses();//
a_refused_message_is_forgotten lanes/lane_sums.cc s/ && !refused_) refused_ = to/) refused_.reset()/
TABLE
}

names() { defects | cut -d ' ' -f 1; }

usage() {
  cat <<TEXT
usage: planted.sh [--only DEFECT]...

Plants each defect of its table in a copy of the checkout's HEAD, builds the unit tests of libcommon/reduce
and libcommon/lanes there, and runs them: some of them must fail. A line of TAP for each on standard output.

  --only DEFECT  this one alone; may be given again

Example:
  ./tests/unit/reduce/planted.sh --only moves_go_back
TEXT
}

# found DEFECT: whether a test fails, or waits without end, with it
found() {
  local name file change program code
  read -r name file change < <(defects | grep "^$1 ")
  git -C "$COPY" checkout --quiet -- .  # what the one before has left
  sed -i "$change" "$COPY/libcommon/$file"
  if git -C "$COPY" diff --quiet; then
    printf '%s is not in %s any more\n' "$name" "$file" >&2
    return "$EXIT_NEGATIVE"
  fi
  (cd "$COPY" && cmake --build --preset release --target test_reduce --target test_lanes) >&2 || return
  for program in test_reduce test_lanes; do
    code=0
    timeout 300 "$COPY/build/release/tests/$program" --gtest_brief=1 --gtest_fail_fast >&2 || code=$?
    if ((code != 0)); then return 0; fi
  done
  return "$EXIT_NEGATIVE"
}

main() {
  choose "$@"
  need_tool git git
  make_temp_folder
  COPY=$TEMP_FOLDER/ptrain
  git clone --quiet "$ROOT" "$COPY"
  (cd "$COPY" && cmake --preset release) >&2
  echo "1..${#CHOSEN[@]}"
  local defect code
  for defect in "${CHOSEN[@]}"; do
    code=0
    found "$defect" || code=$?
    report "$code" "the unit tests find $defect"
  done
  exit "$CODE"
}

main "$@"
