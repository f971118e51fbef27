# Fuzzes the readers of files, tests/fuzz, by libFuzzer under the sanitizers: each reader for SDLORA_FUZZ_SECONDS, 10 where
# nothing is said, from its corpus and with another seed each time. Prints a row of docs/results/fuzzing.md for each.
source "$(dirname "$0")/common.sh"

fuzz=$scratch/fuzz
seconds=${SDLORA_FUZZ_SECONDS:-10}
sanitizers=address,undefined
# As cmake/sanitizers.cmake has them.
compile+=(-O1 -g1 "-fsanitize=fuzzer-no-link,$sanitizers" -fno-sanitize-recover=all -fno-sanitize=pointer-overflow
          "${warnings[@]}" -I. "-DSDLORA_SOURCE_DIR=\"$PWD\"")
# What includes a model; a unit of these takes as long as one of all others.
models=(adapter base_checkpoint peft)

up_to_date() {  # OBJECT
  [[ -f $1 && -f ${1%.o}.d ]] || return 1
  sed -e 's/^[^ ]*: //' -e 's/\\$//' "${1%.o}.d" | xargs sh -c 'find "$@" -maxdepth 0' sh >/dev/null 2>&1 || return 1
  [[ -z $(sed -e 's/^[^ ]*: //' -e 's/\\$//' "${1%.o}.d" | xargs sh -c 'find "$@" -maxdepth 0 -newer "$0"' "$1") ]]
}

if [[ ${1:-} == --one && $2 == *.cpp ]]; then
  object=${2%.cpp}.o
  up_to_date "$object" || clang++-19 "${compile[@]}" -MD -c "$2" -o "$object"
  exit
elif [[ ${1:-} == --one ]]; then
  folder=$scratch/$2
  memory=/dev/shm
  [[ -w $memory ]] || memory=$scratch
  memory=$(mktemp -d -p "$memory" sdlora-fuzz-XXXXXX)
  trap 'rm -rf "$memory"' EXIT
  rm -rf "$folder"
  mkdir -p "$folder/seeds" "$folder/found"
  ! [[ -d tests/fuzz/corpus/$2 ]] || cp tests/fuzz/corpus/"$2"/* "$folder/seeds"
  words=()
  ! [[ -f tests/fuzz/words/$2 ]] || words=("-dict=tests/fuzz/words/$2")
  status=0
  TMPDIR=$memory SDLORA_FUZZ=$2 SDLORA_FUZZ_SEEDS=$folder/seeds "$fuzz" -max_total_time="$seconds" -timeout=10 \
    -mutate_depth=2 -rss_limit_mb=1024 -max_len=24576 -print_final_stats=1 -artifact_prefix="$folder/" "${words[@]}" \
    "$folder/found" "$folder/seeds" \
    >"$folder/log" 2>&1 || status=$?
  if ((status)); then
    tail -n 60 "$folder/log"
    echo "$2 failed (status $status); once more: SDLORA_FUZZ=$2 $fuzz $folder/FILE, with a file that lies there"
    exit 1
  fi
  printf '| %s | %s | %s |\n' "$2" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/log")" \
    "$(find "$folder/found" -type f | wc -l)"
  exit
fi

command -v clang++-19 >/dev/null || skip "clang++-19 is not installed"
clang++-19 "-fsanitize=fuzzer,$sanitizers" -x c++ -o "$scratch/probe" - 2>"$scratch/probe.log" \
  <<<'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' ||
  skip "clang++-19 lacks libFuzzer or the sanitizers' libraries (Debian: libclang-rt-19-dev)"

for unit in readers models; do printf '' >"$scratch/$unit.next"; done
while IFS= read -r source; do
  unit=readers
  [[ " ${models[*]} " != *" $(basename "$source" .cpp) "* ]] || unit=models
  printf '#include "%s"\n' "$source" >>"$scratch/$unit.next"
done < <(files tests/fuzz | grep '\.cpp$')
for unit in readers models; do
  cmp -s "$scratch/$unit.next" "$scratch/$unit.cpp" || cp "$scratch/$unit.next" "$scratch/$unit.cpp"
done
spread < <(printf '%s\n' "$scratch"/{readers,models}.cpp)
((failures == 0)) || finish
# Readers whose libraries are missing are left out of the program, as of the library.
mapfile -t libraries < <(clang++-19 "${compile[@]}" -E -P -x c++ - <<'PROBE'
#if __has_include(<zlib.h>)
-lz
#endif
#if __has_include(<pcre2.h>) && __has_include(<utf8proc.h>)
-lpcre2-8
-lutf8proc
#endif
PROBE
)
clang++-19 "-fsanitize=fuzzer,$sanitizers" -Wl,--wrap=mmap,--wrap=munmap "$scratch"/{readers,models}.o "${libraries[@]}" -pthread -o "$fuzz"
spread < <("$fuzz" --list)
finish "$("$fuzz" --list | wc -l) readers, $seconds seconds each"
