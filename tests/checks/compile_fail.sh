#!/usr/bin/env bash
# usage: compile_fail.sh CASE COMPILER OPTIONS…
# CASE, one of tests/compile_fail, compiles as it is, does not with -DSDLORA_EXPECT_FAILURE, and the compiler's output
# then matches the regular expression of its first line: `// expect: …`. With `// expect only: …` that is the one error.
# Ninja runs this for each case of the target check.compile_fail.
set -euo pipefail
export LC_ALL=C

file=$1
shift
expected=$(sed -nE '1s,^// expect( only)?: ,,p' "$file")
if [[ -z $expected ]]; then
  echo "$file: its first line must be '// expect: REGULAR EXPRESSION', or '// expect only: …'"
  exit 1
fi
if ! output=$("$@" "$file" 2>&1); then
  printf '%s: must compile without SDLORA_EXPECT_FAILURE:\n%s\n' "$file" "$(head -n 12 <<<"$output")"
  exit 1
fi
# Without warnings: what does not compile should not fail by one. The dependencies are those of the first run.
options=()
while (($#)); do
  case $1 in
    -W*) ;;
    -MD) ;;
    -MF | -MT) shift ;;
    *) options+=("$1") ;;
  esac
  shift
done
if output=$("${options[@]}" -DSDLORA_EXPECT_FAILURE "$file" 2>&1); then
  echo "$file: compiles with SDLORA_EXPECT_FAILURE and must not"
  exit 1
fi
if ! grep -qE -- "$expected" <<<"$output"; then
  printf '%s: the diagnostic does not match "%s":\n%s\n' "$file" "$expected" "$(head -n 12 <<<"$output")"
  exit 1
fi
if [[ $(head -n 1 "$file") == "// expect only: "* ]] && (($(grep -cE '(^|[ :])error:' <<<"$output") != 1)); then
  printf '%s: more than one error:\n%s\n' "$file" "$(grep -E '(^|[ :])error:' <<<"$output")"
  exit 1
fi
