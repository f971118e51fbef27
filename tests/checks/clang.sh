# The tests, examples and benchmarks, and with them the headers, give no warning with clang either.
source "$(dirname "$0")/common.sh"

clang=clang++-19
command -v "$clang" >/dev/null || skip "$clang is not installed"
if [[ ${1:-} == --one ]]; then
  options=()
  # The instruction set that the presets build for; the headers' check is without.
  if [[ $2 == tests/* ]]; then options+=(-Itests -Iexamples); else options+=("-I${2%%/*}"); fi
  # Units that read most of the dependencies read them precompiled; none of sdlora's own headers is.
  [[ $2 =~ ^(examples|tests/(adapters|io|layers|model|programs|training))/ ]] && options+=(-include-pch "$scratch/dependencies.pch")
  if ! output=$("$clang" "${compile[@]}" "${warnings[@]}" "${options[@]}" -march=native -fsyntax-only \
                -DSDLORA_SOURCE_DIR='"."' -DSDLORA_BUILD_DIR='"."' "$2" 2>&1); then
    printf '%s does not compile with %s:\n%s\n' "$2" "$clang" "$(head -n 12 <<<"$output")"
    exit 1
  fi
  exit 0
fi

cat >"$scratch/dependencies.hpp" <<'HEADERS'
#include <algorithm>
#include <doctest/doctest.h>
#include <Eigen/Core>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>
#include <xsimd/xsimd.hpp>
HEADERS
"$clang" "${compile[@]}" "${warnings[@]}" -march=native -x c++-header "$scratch/dependencies.hpp" \
  -o "$scratch/dependencies.pch"
mapfile -t units < <(files tests examples bench | grep '\.cpp$' | grep -vE '^tests/(compile_fail|consumer)/')
spread < <(printf '%s\n' "${units[@]}")
finish "${#units[@]} units"
