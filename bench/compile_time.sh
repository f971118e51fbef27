#!/usr/bin/env bash
# What including sdlora costs: processor seconds of `g++ -std=c++20 -O0 -fsyntax-only`, best of three
# rounds; the machine may be slower for one round than for the next, so all are measured in each.
# usage: bench/compile_time.sh [--check]
#   --check fails when the cost, as a multiple of what its dependencies alone cost here, is over the budget.
# The budget: everything 4.5 s and everything but io 3 s on a machine where the dependencies with JSON
# (Eigen/Core, nlohmann/json and common standard headers) cost 2.1 s, and without JSON 1.4 s.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${CXX:=g++}"
read -r -a dependencies <<<"${SDLORA_INCLUDES:--isystem /usr/include/eigen3}"

declare -A best
measure() {  # NAME SOURCE
  local time TIMEFORMAT='%U %S'
  if ! "$CXX" -std=c++20 -O0 -fsyntax-only -Iinclude "${dependencies[@]}" -x c++ - <<<"$2" >&2; then
    echo "bench/compile_time.sh: the headers do not compile" >&2
    exit 2
  fi
  time=$({ time "$CXX" -std=c++20 -O0 -fsyntax-only -Iinclude "${dependencies[@]}" -x c++ - <<<"$2" 2>/dev/null; } 2>&1 |
    awk '{ print $1 + $2 }')
  best[$1]=$(awk -v a="${best[$1]:-1e9}" -v b="$time" 'BEGIN { print (b < a) ? b : a }')
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

line() {  # NAME SECONDS BASE LIMIT
  awk -v name="$1" -v s="$2" -v b="$3" -v limit="$4" 'BEGIN {
    printf "%-34s %5.2f s  %.2f times the dependencies (%.2f s); budget %.2f%s\n", name, s, s / b, b, limit,
           (s / b > limit) ? "  OVER" : ""
    exit (s / b > limit) }' || over=1
}
report() {
  over=0
  line '<sdlora/sdlora.hpp>' "${best[all]}" "${best[base_json]}" 2.1
  line 'tensor … model (no io, training)' "${best[but_io]}" "${best[base]}" 2.1
}
if [[ ${1:-} == --check ]]; then
  # A round more, twice, before a verdict against the headers.
  for rounds in 2 1 1; do
    for ((i = 0; i < rounds; ++i)); do measure_all; done
    report >/dev/null
    ((over)) || break
  done
  report
  exit "$over"
fi
for i in 1 2 3; do measure_all; done
report
for folder in tensor scan adapters layers model io training; do
  for i in 1 2 3; do measure "$folder" "#include <sdlora/$folder.hpp>"; done
  printf '  %-32s %5.2f s\n' "<sdlora/$folder.hpp>" "${best[$folder]}"
done
