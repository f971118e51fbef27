# The tests, examples and benchmarks, and with them the headers, give no warning with clang either.
source "$(dirname "$0")/common.sh"

clang=clang++-19
command -v "$clang" >/dev/null || skip "$clang is not installed"
precompiled=(-fpch-instantiate-templates)
if [[ ${1:-} == --one ]]; then
  # The instruction set that the presets build for; the headers' check is without.
  options=("-I${2%%/*}")
  [[ $2 != tests/* ]] || options+=(-Iexamples)
  if ! output=$("$clang" "${compile[@]}" "${warnings[@]}" "${options[@]}" "${precompiled[@]}" -march=native \
                -include-pch "$scratch/headers.pch" -fsyntax-only \
                -DSDLORA_SOURCE_DIR='"."' -DSDLORA_BUILD_DIR='"."' "$2" 2>&1); then
    printf '%s does not compile with %s:\n%s\n' "$2" "$clang" "$(head -n 12 <<<"$output")"
    exit 1
  fi
  exit 0
fi

# The headers are read, and what they instantiate is checked, once; what units instantiate, in each.
cat >"$scratch/headers.hpp" <<'HEADERS'
#include <doctest/doctest.h>
#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <sdlora/sdlora.hpp>
#include <thread>
HEADERS
if ! output=$("$clang" "${compile[@]}" "${warnings[@]}" "${precompiled[@]}" -march=native -x c++-header \
              "$scratch/headers.hpp" -o "$scratch/headers.pch" 2>&1); then
  problem "sdlora/sdlora.hpp does not compile with $clang: $(head -n 12 <<<"$output")"
  finish
fi
mapfile -t units < <(files tests examples bench | grep '\.cpp$' | grep -vE '^tests/(compile_fail|consumer)/')
spread < <(printf '%s\n' "${units[@]}")
finish "${#units[@]} units"
