# The sources are formatted as .clang-format says.
source "$(dirname "$0")/common.sh"

command -v clang-format-19 >/dev/null || skip "clang-format-19 is not installed"
while IFS= read -r file; do
  clang-format-19 --dry-run -Werror "$file" 2>/dev/null || problem "$file is not formatted: ./run format does it"
done < <(files include tests examples bench | grep -E '\.(hpp|cpp|cuh|cu)$')
finish
