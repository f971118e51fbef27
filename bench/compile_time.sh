#!/usr/bin/env bash
# What including sdlora costs: processor seconds of `g++ -std=c++20 -O0 -fsyntax-only`, beside what its
# dependencies alone cost. A busy machine may slow one compilation and spare the next, so that all are measured in
# turn, round by round; what counts is the median of the rounds' ratios.
# usage: bench/compile_time.sh [--check]
#   --check fails when the cost, as a multiple of the dependencies' alone, is over the budget.
# The dependencies are Eigen/Core, nlohmann/json (not of everything but io) and common standard headers. g++ collects what it
# no longer uses when its memory has doubled, which costs half a second at once: the measure is without that.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${CXX:=g++}"
read -r -a dependencies <<<"${SDLORA_INCLUDES:--isystem /usr/include/eigen3}"

whole=()
if "$CXX" --version | grep -q 'Free Software Foundation'; then whole=(--param ggc-min-heapsize=4194304); fi

declare -A seconds  # of each name, one a round
measure() {  # NAME SOURCE
  local output TIMEFORMAT='%U %S'
  # The compiler's own words, if any, stand before the line of `time`.
  output=$({ time "$CXX" -std=c++20 -O0 -fsyntax-only "${whole[@]}" -Iinclude "${dependencies[@]}" -x c++ - <<<"$2"; } 2>&1) || {
    sed '$d' <<<"$output" >&2
    echo "bench/compile_time.sh: the headers do not compile" >&2
    exit 2
  }
  seconds[$1]+=" $(awk 'END { print $1 + $2 }' <<<"$output")"
}

standard='#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>
'
eigen='#include <Eigen/Core>
'
json='#include <nlohmann/json.hpp>
'
without_io=""
for folder in tensor scan adapters layers model; do without_io+="#include <sdlora/$folder.hpp>"$'\n'; done

measure_all() {
  measure base_json "$standard$eigen$json"
  measure base "$standard$eigen"
  measure all '#include <sdlora/sdlora.hpp>'
  measure but_io "$without_io"
}

# Of numbers, one a line.
median() { sort -g | awk '{ x[NR] = $1 } END { print NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2 }'; }
seconds_of() { tr ' ' '\n' <<<"${seconds[$1]# }"; }  # NAME: one a line

over=0
line() {  # TEXT NAME DEPENDENCIES LIMIT
  local ratio
  ratio=$(paste <(seconds_of "$2") <(seconds_of "$3") | awk '{ print $1 / $2 }' | median)
  awk -v text="$1" -v s="$(seconds_of "$2" | median)" -v b="$(seconds_of "$3" | median)" -v r="$ratio" -v limit="$4" '
    BEGIN {
      printf "%-34s %5.2f s  %.2f times the dependencies (%.2f s); budget %.2f%s\n", text, s, r, b, limit,
             (r > limit) ? "  OVER" : ""
      exit (r > limit)
    }' || over=1
}
report() {
  over=0
  line '<sdlora/sdlora.hpp>' all base_json 2.4
  line 'tensor … model (no io, training)' but_io base 2.0
}

for i in 1 2 3; do measure_all; done
if [[ ${1:-} == --check ]]; then
  # More rounds before a verdict against the headers.
  for i in 1 2 3 4; do
    report >/dev/null
    ((over)) || break
    measure_all
    measure_all
  done
  report
  exit "$over"
fi
report
for folder in tensor scan adapters layers model io training; do
  for i in 1 2 3; do measure "$folder" "#include <sdlora/$folder.hpp>"; done
  printf '  %-32s %5.2f s\n' "<sdlora/$folder.hpp>" "$(seconds_of "$folder" | median)"
done
