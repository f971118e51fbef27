# clang-tidy over the headers of each folder, by the selection in .clang-tidy.
source "$(dirname "$0")/common.sh"

command -v clang-tidy-19 >/dev/null || skip "clang-tidy-19 is not installed"
if [[ ${1:-} == --one ]]; then
  unit=$scratch/$2.cpp
  printf '#include <sdlora/%s.hpp>\n' "$2" >"$unit"
  if ! output=$(clang-tidy-19 --quiet --config-file=.clang-tidy "$unit" -- "${compile[@]}" 2>/dev/null); then
    printf '%s\n' "$(head -n 60 <<<"$output")"
    exit 1
  fi
  exit 0
fi
spread < <(printf '%s\n' "${folders[@]}")
finish
