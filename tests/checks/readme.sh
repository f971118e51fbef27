# The programs that README.md and docs/library.md show compile as they stand there; a block without main behind the
# beginning that the first of each page has.
source "$(dirname "$0")/common.sh"

if [[ ${1:-} == --one ]]; then
  "$CXX" "${compile[@]}" -Wall -Wextra -Werror -fsyntax-only "$2" || { echo "$2 does not compile"; exit 1; }
  exit
fi
rm -f "$scratch"/block*.cpp
for page in README.md docs/library.md; do
  awk -v folder="$scratch" -v page="$(basename "$page" .md)" '
    /^```cpp$/ { file = folder "/block_" page "_" ++count ".cpp"; next }
    /^```/ { file = "" }
    file { print > file }' "$page"
  blocks=("$scratch/block_$(basename "$page" .md)"_*.cpp)
  [[ -f ${blocks[0]} ]] || problem "$page: no program between \`\`\`cpp and \`\`\`; show one"
done
for block in "$scratch"/block_*.cpp; do
  if ! grep -q '^#include' "$block"; then
    printf '#include <sdlora/sdlora.hpp>\n#include <iostream>\n#include <limits>\nusing namespace sdlora;\n%s\n' \
      "$(cat "$block")" >"$block"
  fi
done
spread < <(printf '%s\n' "$scratch"/block_*.cpp)
# A test runs the policy that is shown.
shown() { sed -n '/^struct OutputScale {$/,/^};$/p' "$1"; }
diff <(shown docs/library.md) <(shown tests/model/own_policy.cpp) ||
  problem "docs/library.md shows another OutputScale than tests/model/own_policy.cpp tests"
finish
