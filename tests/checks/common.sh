# Read by the checks. Each check is a script that CTest runs in the repository's root; status 77 means skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LC_ALL=C

: "${CXX:=g++}"
: "${CMAKE:=cmake}"
: "${SDLORA_CHECK_DIR:=$PWD/build/checks}"
check_name=$(basename "$0" .sh)
scratch=$SDLORA_CHECK_DIR/$check_name
mkdir -p "$scratch"

folders=(tensor scan adapters layers model io training)
warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
# Where the dependencies lie. The compiler's own folder is left out: named again it would hide the standard library.
dependencies=()
if [[ -f $SDLORA_CHECK_DIR/include_folders ]]; then
  while IFS= read -r folder; do
    [[ $folder == /usr/include || $folder == "$PWD"/* || -z $folder ]] || dependencies+=(-isystem "$folder")
  done < <(sort -u "$SDLORA_CHECK_DIR/include_folders")
else
  dependencies=(-isystem /usr/include/eigen3)
fi
compile=(-std=c++20 -Iinclude "${dependencies[@]}" -pthread)

jobs=${JOBS:-$(nproc)}
failures=0
problem() { printf '%s\n' "$*"; failures=$((failures + 1)); }
skip() { printf 'skipped: %s\n' "$*"; exit 77; }
finish() {
  if ((failures)); then
    printf '%s: %d problem(s)\n' "$check_name" "$failures"
    exit 1
  fi
  printf '%s: %s\n' "$check_name" "${1:-all well}"
}

# Tracked files, or all files where there is no repository, below the paths given; only those that exist.
files() {
  if git -c safe.directory='*' rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git -c safe.directory='*' ls-files --cached --others --exclude-standard -- "$@"
  else
    find "$@" -type f -not -path './build/*' -not -path './.git/*' 2>/dev/null | sed 's,^\./,,' || true
  fi | sort -u | while IFS= read -r file; do [[ ! -f $file ]] || printf '%s\n' "$file"; done
}
headers() { files include/sdlora | grep '\.hpp$' || true; }

# Runs `$0 --one ITEM` for every line of standard input, spread over the cores. What fails is printed.
spread() {
  local failed=0
  xargs -r -d '\n' -P "$jobs" -n 1 bash "$0" --one || failed=1
  ((failed == 0)) || failures=$((failures + 1))
}
