#!/usr/bin/env bash
# What including sdlora costs: processor seconds of `g++ -std=c++20 -O0 -fsyntax-only`, best of three.
# usage: bench/compile_time.sh [--check]
#   --check fails when the cost, as a multiple of what its dependencies alone cost here, is over the budget.
# The budget: everything 4.5 s and everything but io 3 s on a machine where the dependencies with JSON
# (Eigen/Core, nlohmann/json and common standard headers) cost 2.1 s, and without JSON 1.4 s.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${CXX:=g++}"
read -r -a dependencies <<<"${SDLORA_INCLUDES:--isystem /usr/include/eigen3}"

repetitions=3
[[ ${1:-} != --check ]] || repetitions=2

seconds() {  # SOURCE
  local best="" time i TIMEFORMAT='%U %S'
  if ! "$CXX" -std=c++20 -O0 -fsyntax-only -Iinclude "${dependencies[@]}" -x c++ - <<<"$1" >&2; then
    echo "bench/compile_time.sh: the headers do not compile" >&2
    exit 2
  fi
  for ((i = 0; i < repetitions; ++i)); do
    time=$({ time "$CXX" -std=c++20 -O0 -fsyntax-only -Iinclude "${dependencies[@]}" -x c++ - <<<"$1" 2>/dev/null; } 2>&1 |
      awk '{ print $1 + $2 }')
    best=$(awk -v a="${best:-1e9}" -v b="$time" 'BEGIN { print (b < a) ? b : a }')
  done
  echo "$best"
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

base_json=$(seconds "$standard$eigen$json")
base=$(seconds "$standard$eigen")
all=$(seconds '#include <sdlora/sdlora.hpp>')
but_io=$(seconds "$without_io")

over=0
line() {  # NAME SECONDS BASE LIMIT
  awk -v name="$1" -v s="$2" -v b="$3" -v limit="$4" 'BEGIN {
    printf "%-34s %5.2f s  %.2f times the dependencies (%.2f s); budget %.2f%s\n", name, s, s / b, b, limit,
           (s / b > limit) ? "  OVER" : ""
    exit (s / b > limit) }' || over=1
}
line '<sdlora/sdlora.hpp>' "$all" "$base_json" 2.1
line 'tensor … model (no io, training)' "$but_io" "$base" 2.1
[[ ${1:-} != --check ]] || exit "$over"
for folder in tensor scan adapters layers model io training; do
  printf '  %-32s %5.2f s\n' "<sdlora/$folder.hpp>" "$(seconds "#include <sdlora/$folder.hpp>")"
done
