# Every header compiles alone, without a warning.
source "$(dirname "$0")/common.sh"

if [[ ${1:-} == --one ]]; then
  header=$2
  if ! output=$("$CXX" "${compile[@]}" "${warnings[@]}" -fsyntax-only -x c++ - 2>&1 \
                <<<"#include <${header#include/}>"); then
    printf '%s does not compile alone with %s:\n%s\n' "$header" "$CXX" "$(head -n 12 <<<"$output")"
    exit 1
  fi
  exit 0
fi

# Thrust is no dependency of the library; tests/scan/menu/thrust_host.cpp compiles what needs it.
alone() { headers | grep -v '/scan/menu/thrust_host\.hpp$'; }
spread < <(alone)
finish "$(alone | wc -l) headers"
