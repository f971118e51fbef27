# No file names a place on one machine or leaves work for later, nothing strays to the top level, and what pages link to is
# there.
source "$(dirname "$0")/common.sh"

# Spelled with brackets so that this file does not match itself; data and licences are not ours to reword.
patterns='(^|[^[:alnum:]_./-])/(wor[k]|hom[e]|roo[t]|tm[p])/|\b(TOD[O]|FIXM[E])\b'
while IFS= read -r hit; do problem "$hit"; done < <(
  files . | grep -vE '\.(jsonl|safetensors|png|bin|npz)$|^LICENSE$' | tr '\n' '\0' |
    xargs -0 -r grep -nIE -- "$patterns" || true)
known='^(\.ci/.*|\.clang-(format|tidy)|\.gitignore|CHANGELOG\.md|CMakeLists\.txt|CMakePresets\.json|LICENSE|README\.md|run|(bench|cmake|docs|examples|include|tests)/.*)$'
while IFS= read -r file; do problem "$file: has no place at the top level; remove it, or name it here"; done < <(
  files . | grep -vE "$known" || true)
grep -qx 'exec ./run test --all' .ci/run || problem ".ci/run: expected the line 'exec ./run test --all': it decides"
while IFS= read -r page; do
  while IFS= read -r link; do
    [[ $link == *:* || -z ${link%%#*} || -e $(dirname "$page")/${link%%#*} ]] || problem "$page: links to $link, which is missing"
  done < <(grep -oE '\]\([^) ]+\)' "$page" | sed 's/^](//; s/)$//' | sort -u)
done < <(files . | grep '\.md$')
finish "$(files . | wc -l) files"
