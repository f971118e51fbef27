# The sources are formatted as .clang-format says.
source "$(dirname "$0")/common.sh"

command -v clang-format-19 >/dev/null || skip "clang-format-19 is not installed"
mapfile -t sources < <(files include tests examples bench | grep -E '\.(hpp|cpp|cuh|cu)$')
complaints=$(printf '%s\0' "${sources[@]}" |
  xargs -0 -r -n 16 -P "$jobs" clang-format-19 --dry-run -Werror 2>&1) || failures=1
if ((failures)); then
  grep -oE '^[^: ]+:[0-9]+:[0-9]+: error' <<<"$complaints" | cut -d: -f1 | sort -u |
    sed 's/$/ is not formatted: .\/run format does it/'
fi
finish "${#sources[@]} files"
