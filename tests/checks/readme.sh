# The programs that README.md and docs/library.md show compile as they stand there; a block without main behind the
# beginning that the first of each page has. A block whose first line names a numbered example is that file, which the
# tests build and run, and each numbered example of C++ is shown.
source "$(dirname "$0")/common.sh"

if [[ ${1:-} == --one ]]; then
  "$CXX" "${compile[@]}" -Wall -Wextra -Werror -fsyntax-only "$2" || { echo "$2 does not compile"; exit 1; }
  exit
fi
rm -f "$scratch"/block*.cpp
for page in README.md docs/library.md docs/adding-a-method.md; do
  awk -v folder="$scratch" -v page="$(basename "$page" .md)" '
    /^```cpp$/ { file = folder "/block_" page "_" ++count ".cpp"; next }
    /^```/ { file = "" }
    file && !/^#pragma once$/ { print > file }' "$page"
  blocks=("$scratch/block_$(basename "$page" .md)"_*.cpp)
  [[ -f ${blocks[0]} ]] || problem "$page: no program between \`\`\`cpp and \`\`\`; show one"
done
examples=()
for block in "$scratch"/block_*.cpp; do
  if [[ $(head -n 1 "$block") =~ ^//\ (examples/[0-9][0-9]_[a-z_0-9]+\.cpp) ]]; then
    example=${BASH_REMATCH[1]}
    examples+=("$example")
    diff "$example" "$block" || problem "$(basename "$block"): not as $example is; copy that file into the page"
    rm "$block"
    continue
  fi
  if ! grep -q '^#include' "$block"; then
    printf '#include <sdlora/sdlora.hpp>\n#include <iostream>\n#include <limits>\nusing namespace sdlora;\n%s\n' \
      "$(cat "$block")" >"$block"
  fi
done
while IFS= read -r example; do
  [[ " ${examples[*]} " == *" $example "* ]] || problem "$example: on neither page; show it"
done < <(files examples | grep '^examples/[0-9][0-9]_.*\.cpp$')
spread < <(printf '%s\n' "$scratch"/block_*.cpp)
# A test measures the gradients of the policy that is shown.
shown() { sed -n '/^struct OutputScale : PolicyDefaults {$/,/^};$/p' "$1"; }
[[ -n $(shown examples/03_own_method.cpp) ]] || problem "examples/03_own_method.cpp: no OutputScale"
diff <(shown examples/03_own_method.cpp) <(shown tests/model/own_policy.cpp) ||
  problem "examples/03_own_method.cpp has another OutputScale than tests/model/own_policy.cpp tests"
finish
