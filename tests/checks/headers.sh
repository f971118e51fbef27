# Every header compiles alone, without a warning, with g++ and with clang++-19 where that is installed.
source "$(dirname "$0")/common.sh"

if [[ ${1:-} == --one ]]; then
  header=$2
  for compiler in "$CXX" clang++-19; do
    command -v "$compiler" >/dev/null || continue
    if ! output=$("$compiler" "${compile[@]}" "${warnings[@]}" -fsyntax-only -x c++ - 2>&1 \
                  <<<"#include <${header#include/}>"); then
      printf '%s does not compile alone with %s:\n%s\n' "$header" "$compiler" "$(head -n 12 <<<"$output")"
      exit 1
    fi
  done
  exit 0
fi

spread < <(headers)
finish "$(headers | wc -l) headers"
