# Each tests/compile_fail/<name>.cpp compiles as it is, does not with -DSDLORA_EXPECT_FAILURE, and the compiler's
# output then matches the regular expression of its first line: `// expect: …`.
source "$(dirname "$0")/common.sh"

if [[ ${1:-} == --one ]]; then
  file=$2
  expected=$(sed -n '1s,^// expect: ,,p' "$file")
  if [[ -z $expected ]]; then
    echo "$file: its first line must be '// expect: REGULAR EXPRESSION'"
    exit 1
  fi
  if ! output=$("$CXX" "${compile[@]}" "${warnings[@]}" -O0 -fsyntax-only "$file" 2>&1); then
    printf '%s: must compile without SDLORA_EXPECT_FAILURE:\n%s\n' "$file" "$(head -n 12 <<<"$output")"
    exit 1
  fi
  if output=$("$CXX" "${compile[@]}" -O0 -fsyntax-only -DSDLORA_EXPECT_FAILURE "$file" 2>&1); then
    echo "$file: compiles with SDLORA_EXPECT_FAILURE and must not"
    exit 1
  fi
  if ! grep -qE -- "$expected" <<<"$output"; then
    printf '%s: the diagnostic does not match "%s":\n%s\n' "$file" "$expected" "$(head -n 12 <<<"$output")"
    exit 1
  fi
  exit 0
fi

mapfile -t cases < <(files tests/compile_fail 2>/dev/null | grep '\.cpp$' || true)
((${#cases[@]})) || skip "tests/compile_fail has no cases"
spread < <(printf '%s\n' "${cases[@]}")
finish "${#cases[@]} cases"
