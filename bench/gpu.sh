#!/usr/bin/env bash
# Builds, tests, checks and times the GPU parts on a machine with a GPU and no network, in under ten minutes.
#
#   bench/gpu.sh pack                 before leaving: gathers dependencies in build/gpu-deps
#   bench/gpu.sh [--out DIR] [--quick] [--bench-only] [--no-sanitizer] [--profile] [--filter=REGEX]
#                [--min-time=SECONDS]
#
#   --quick        a selection of shapes
#   --bench-only   neither tests nor sanitizers, and no copy in docs/results
#   --filter       only the variants whose names match
#   --min-time     seconds that each variant runs at the least (0.05)
#
# Writes gpu-<device>.md, gpu-<device>.json, plots and the logs to DIR (default $OUT, else build/gpu), and the page
# without plots to docs/results. Packages are taken from build/gpu-deps where that exists, else from the system.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
deps=build/gpu-deps

if [[ ${1:-} == pack ]]; then
  rm -rf "$deps"
  mkdir -p "$deps/include"
  missing=()
  for package in doctest:doctest-dev eigen3:libeigen3-dev xsimd:libxsimd-dev nlohmann:nlohmann-json3-dev; do
    for place in /usr/include /usr/local/include; do
      if [[ -d $place/${package%%:*} ]]; then
        cp -rL "$place/${package%%:*}" "$deps/include/"
        continue 2
      fi
    done
    missing+=("$package")
  done
  rm -rf "$deps/include/eigen3/unsupported"
  # Google Benchmark is more than headers, and a library made here may not fit the system there: its sources, from
  # BENCHMARK_SOURCE if that is set, else those of the distribution's package.
  sources=$(mktemp -d)
  trap 'rm -rf "$sources"' EXIT
  if [[ -z ${BENCHMARK_SOURCE:-} ]] && command -v apt-get >/dev/null; then
    mkdir -p "$sources/parts" "$sources/lists/partial"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
      [[ ! -e $file ]] || sed 's/^deb /deb-src /; s/^Types:.*/Types: deb-src/' "$file" >"$sources/parts/${file##*/}"
    done
    apt=(apt-get -q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$sources/parts"
      -o "Dir::State::Lists=$sources/lists" -o APT::Sandbox::User=root)
    # Places without sources are reported and passed over.
    { "${apt[@]}" update || true; } >"$sources/log" 2>&1
    (cd "$sources" && "${apt[@]}" source --download-only benchmark && tar -xf benchmark_*.orig.tar.*) \
      >>"$sources/log" 2>&1 || tail -n 5 "$sources/log" >&2
    for BENCHMARK_SOURCE in "$sources"/benchmark-*; do :; done
  fi
  if [[ -f ${BENCHMARK_SOURCE:-}/src/benchmark.cc ]]; then
    cp -rL "$BENCHMARK_SOURCE/include/benchmark" "$deps/include/"
    mkdir -p "$deps/benchmark/src"
    cp -L "$BENCHMARK_SOURCE"/src/*.{cc,h} "$deps/benchmark/src/"
    rm "$deps/benchmark/src/benchmark_main.cc"
  else
    missing+=("benchmark/src:the sources of Google Benchmark, naming their folder in BENCHMARK_SOURCE,")
  fi
  echo "$(du -sh "$deps" | cut -f1) in $deps"
  for package in "${missing[@]}"; do
    echo "bench/gpu.sh: the pack lacks ${package%%:*}; install ${package##*:} and pack again" >&2
  done
  ((${#missing[@]} == 0)) || exit 1
  exit 0
fi

out=${OUT:-build/gpu}
selection=all
bench_only=""
filter=.
min_time=0.05
sanitizer=yes
profile=""
while (( $# )); do
  case $1 in
    --out) out=$2; shift ;;
    --quick) selection=quick ;;
    --bench-only) bench_only=yes ;;
    --filter=*) filter=${1#*=} ;;
    --min-time=*) min_time=${1#*=} ;;
    --no-sanitizer) sanitizer="" ;;
    --profile) profile=yes ;;
    *) echo "bench/gpu.sh: unknown argument $1" >&2; exit 2 ;;
  esac
  shift
done
mkdir -p "$out" build/gpu
work=build/gpu
started=$SECONDS
say() { printf '[%3d s] %s\n' $((SECONDS - started)) "$*"; }

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
if ! nvidia-smi -L >/dev/null 2>&1; then echo "skipped: no device"; exit 77; fi
if [[ ! -x $nvcc ]]; then echo "skipped: no nvcc"; exit 77; fi
device=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
name=$(tr 'A-Z ' 'a-z-' <<<"$device" | tr -cd 'a-z0-9-' | sed 's/^nvidia-//')
say "$device, compute capability $capability"

flags=(-std=c++20 -O3 --expt-relaxed-constexpr -arch="sm_$capability" -lineinfo -Iinclude -Itests)
if [[ -d $deps/include ]]; then flags+=(-isystem "$deps/include" -isystem "$deps/include/eigen3"); fi
flags+=(-isystem /usr/include/eigen3)
if [[ ! -f $deps/include/benchmark/benchmark.h && ! -f /usr/include/benchmark/benchmark.h &&
  ! -f /usr/local/include/benchmark/benchmark.h ]]; then
  echo "bench/gpu.sh: Google Benchmark is not here; take build/gpu-deps along, which bench/gpu.sh pack makes, or install" \
    "libbenchmark-dev" >&2
  exit 1
fi

objects=()
jobs=()
compile() {  # OBJECT SOURCE [OPTIONS…]
  local object=$1
  shift
  "$nvcc" "${flags[@]}" -c "$@" -o "$object" >"$object.log" 2>&1 &
  jobs+=("$!:$object")
}
if [[ -z $bench_only ]]; then
  for source in tests/cuda/*.cu; do
    object=$work/$(basename "$source" .cu).o
    objects+=("$object")
    compile "$object" "$source" -DSDLORA_TEST_ALL_STATES
  done
  objects+=("$work/main.o")
  compile "$work/main.o" -x cu tests/main.cpp
fi
bench_objects=()
for source in bench/gpu/*.cu; do
  object=$work/$(basename "$source" .cu).o
  bench_objects+=("$object")
  compile "$object" "$source"
done
compile "$work/scan_report.o" bench/scan_report.cpp
libraries=(-lbenchmark)
if [[ -d $deps/benchmark ]]; then
  libraries=()
  for source in "$deps"/benchmark/src/*.cc; do
    object=$work/benchmark_$(basename "$source" .cc).o
    bench_objects+=("$object")
    g++ -std=c++17 -O2 -DNDEBUG -DHAVE_STD_REGEX -DHAVE_STEADY_CLOCK -I"$deps/include" -c "$source" -o "$object" \
      >"$object.log" 2>&1 &
    jobs+=("$!:$object")
  done
fi
failed=""
for job in "${jobs[@]}"; do
  if ! wait "${job%%:*}"; then
    failed=yes
    echo "does not compile: ${job#*:}"
    head -n 40 "${job#*:}.log"
  fi
done
[[ -z $failed ]] || exit 1
[[ -n $bench_only ]] || "$nvcc" -arch="sm_$capability" "${objects[@]}" -o "$work/test_cuda"
"$nvcc" "$work/scan_report.o" -o "$work/scan_report"
if ! "$nvcc" -arch="sm_$capability" "${bench_objects[@]}" "${libraries[@]}" -o "$work/scan_variants_cuda" \
  >"$work/link.log" 2>&1; then
  cat "$work/link.log"
  echo "bench/gpu.sh: the benchmark cannot be linked; build/gpu-deps, which bench/gpu.sh pack makes, brings the sources" \
    "of Google Benchmark"
  exit 1
fi
say "built"

status=0
set -o pipefail
verdict_tests="not run"
if [[ -z $bench_only ]]; then
  if timeout 150 "$work/test_cuda" >"$out/tests.log" 2>&1; then
    verdict_tests=pass
    say "tests pass"
    tail -n 4 "$out/tests.log"
  else
    status=1
    verdict_tests="see the log"
    say "TESTS FAIL"
    tail -n 4 "$out/tests.log"
    head -c 3000 "$out/tests.log"
  fi
fi

verdict_memcheck="not run"
verdict_racecheck="not run"
if [[ -n $sanitizer && -z $bench_only ]] && command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    verdict=clean
    timeout 100 compute-sanitizer --tool "$tool" --error-exitcode 9 "$work/test_cuda" \
      -tc='*only the gradients*,*same bits*,scan*of device*' >"$out/$tool.log" 2>&1 || verdict="exit status $?"
    say "compute-sanitizer $tool: $verdict"
    [[ $verdict == clean ]] || { status=1; tail -n 15 "$out/$tool.log"; }
    printf -v "verdict_$tool" '%s' "$verdict"
  done
fi

if [[ -n $profile ]] && command -v ncu >/dev/null; then
  timeout 120 ncu --clock-control none --kernel-name regex:run_kernel --launch-count 12 \
    --section SpeedOfLight --section Occupancy --section WarpStateStats --section InstructionStats --section LaunchStats \
    "$work/scan_variants_cuda" --benchmark_filter=selective/fused >"$out/profile.log" 2>&1 || true
  say "profiled"
fi

# The program ends by itself in what is left of ten minutes, with a complete file.
limit=$((540 - (SECONDS - started)))
((limit <= 300)) || limit=300
((limit >= 60)) || limit=60
results=$out/gpu-$name.json
page=$out/gpu-$name.md
rm -f "$results" "$page"
if ! timeout $((limit + 30)) "$work/scan_variants_cuda" --selection="$selection" --time-limit="$limit" \
  --benchmark_filter="$filter" --benchmark_min_time="$min_time" \
  --benchmark_out="$results" --benchmark_out_format=json 2>&1 | tee "$out/bench.log"; then
  status=1
  say "THE BENCHMARK FAILED"
fi
if ((status == 0)) && [[ ! -s $results ]]; then
  say "no variant's name matches $filter"
  exit 0
fi
if "$work/scan_report" "$results" "$out"; then
  if command -v gnuplot >/dev/null; then
    for script in "$out"/gpu_*.gp; do [[ ! -e $script ]] || gnuplot "$script"; done
  fi
  {
    printf '## Checks of the same run\n\n'
    printf 'Tests: %s. compute-sanitizer memcheck: %s, racecheck: %s. Driver %s, %s.\n\n' \
      "$verdict_tests" "$verdict_memcheck" "$verdict_racecheck" \
      "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)" \
      "$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p')"
    printf 'Made by `bench/gpu.sh`.\n'
  } >>"$page"
  if [[ -z $bench_only ]]; then
    mkdir -p docs/results
    grep -v -e '^## Plots$' -e '^!\[' "$page" | cat -s >"docs/results/gpu-$name.md"
  fi
  say "done: $page"
else
  status=1
  say "NO PAGE COULD BE MADE of $results"
fi
exit $status
