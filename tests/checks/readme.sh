# The programs that README.md shows compile as they stand there; a block without main with the first one's beginning.
source "$(dirname "$0")/common.sh"

rm -f "$scratch"/block*.cpp
awk -v folder="$scratch" '
  /^```cpp$/ { file = folder "/block" ++count ".cpp"; next }
  /^```/ { file = "" }
  file { print > file }' README.md
blocks=("$scratch"/block*.cpp)
[[ -f ${blocks[0]} ]] || problem "README.md: no program between \`\`\`cpp and \`\`\`; show one"
for block in "${blocks[@]}"; do
  if ! grep -q '^int main' "$block"; then
    printf '#include <sdlora/sdlora.hpp>\nusing namespace sdlora;\n%s\n' "$(cat "$block")" >"$block"
  fi
  "$CXX" "${compile[@]}" -Wall -Wextra -Werror -fsyntax-only "$block" || problem "$block of README.md does not compile"
done
finish
