#!/usr/bin/env bash
# Each play of the simulator once; OTTLA_SIM_PLAYS=20 with so many seeds. See docs/testing.md.
set -euo pipefail

sim=${OTTLA_BUILD:-.}/tests/sim/sim
out=$(mktemp)
failed=0
for play in $("$sim" --scenarios | cut -d' ' -f1); do
    "$sim" --scenario "$play" --seeds "1-${OTTLA_SIM_PLAYS:-1}" > "$out" 2>&1 && continue
    grep -E '^(wrong|stuck|crash|failed:)' "$out" || tail -n 40 "$out"
    echo "the play $play fails"
    failed=1
done
rm -f "$out"
exit $failed
