# The tests, examples and benchmarks, and with them the headers, give no warning with clang either.
source "$(dirname "$0")/common.sh"

clang=clang++-19
command -v "$clang" >/dev/null || skip "$clang is not installed"
if [[ ${1:-} == --one ]]; then
  options=()
  # The instruction set that the presets build for; the headers' check is without.
  if [[ $2 == tests/* ]]; then options+=(-Itests -Iexamples); else options+=("-I${2%%/*}"); fi
  if ! output=$("$clang" "${compile[@]}" "${warnings[@]}" "${options[@]}" -march=native -fsyntax-only \
                -DSDLORA_SOURCE_DIR='"."' -DSDLORA_BUILD_DIR='"."' "$2" 2>&1); then
    printf '%s does not compile with %s:\n%s\n' "$2" "$clang" "$(head -n 12 <<<"$output")"
    exit 1
  fi
  exit 0
fi

mapfile -t units < <(files tests examples bench | grep '\.cpp$' | grep -vE '^tests/(compile_fail|consumer)/')
spread < <(printf '%s\n' "${units[@]}")
finish "${#units[@]} units"
