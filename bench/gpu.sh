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
# Writes gpu-<device>.md, gpu-<device>.json and the logs to DIR (default $OUT, else build/gpu), the page to docs/results as
# well, and plots to build/gpu. The device is the first of CUDA_VISIBLE_DEVICES, numbered as nvidia-smi numbers them.
# Packages are taken from build/gpu-deps where that exists, else from the system.
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
PATH+=":$(dirname "$nvcc"):$(dirname "$(readlink -f "$nvcc")")"  # its neighbours: compute-sanitizer, ncu
# nvidia-smi and CUDA number devices alike only in this order.
export CUDA_DEVICE_ORDER=PCI_BUS_ID
device_number=${CUDA_VISIBLE_DEVICES:-0}
device_number=${device_number%%,*}
of_device() { nvidia-smi -i "$device_number" --query-gpu="$1" --format=csv,noheader | head -n 1; }
if ! device=$(of_device name) || ! capability=$(of_device compute_cap); then
  echo "bench/gpu.sh: nvidia-smi knows no device $device_number, the first of CUDA_VISIBLE_DEVICES; name one that nvidia-smi" \
    "-L lists" >&2
  exit 1
fi
capability=${capability//./}
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
compiled=()
most_jobs=$(nproc)
((most_jobs >= 2)) || most_jobs=2
compile() {  # OBJECT COMMAND…
  local object=$1
  shift
  while (($(jobs -rp | wc -l) >= most_jobs)); do wait -n || true; done
  rm -f "$object" "$object.failed"
  compiled+=("$object")
  { "$@" -o "$object" >"$object.log" 2>&1 || touch "$object.failed"; } &
}
compile_cuda() {  # OBJECT SOURCE [OPTIONS…]
  local object=$1
  shift
  compile "$object" "$nvcc" "${flags[@]}" -c "$@"
}
if [[ -z $bench_only ]]; then
  for source in tests/cuda/*.cu; do
    object=$work/$(basename "$source" .cu).o
    objects+=("$object")
    compile_cuda "$object" "$source" -DSDLORA_TEST_ALL_STATES
  done
  objects+=("$work/main.o")
  compile_cuda "$work/main.o" -x cu tests/main.cpp
fi
bench_objects=()
for source in bench/gpu/*.cu; do
  object=$work/$(basename "$source" .cu).o
  bench_objects+=("$object")
  compile_cuda "$object" "$source"
done
compile_cuda "$work/scan_report.o" bench/scan_report.cpp
libraries=(-lbenchmark)
if [[ -d $deps/benchmark ]]; then
  libraries=()
  for source in "$deps"/benchmark/src/*.cc; do
    object=$work/benchmark_$(basename "$source" .cc).o
    bench_objects+=("$object")
    compile "$object" g++ -std=c++17 -O2 -DNDEBUG -DHAVE_STD_REGEX -DHAVE_STEADY_CLOCK -I"$deps/include" -c "$source"
  done
fi
wait
failed=""
for object in "${compiled[@]}"; do
  if [[ -e $object.failed ]]; then
    failed=yes
    echo "does not compile: $object"
    head -n 40 "$object.log"
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
troubles=$work/troubles.txt  # said again at the end, where a short memory of what was printed still has it
: >"$troubles"
trouble() {  # TITLE LOG [COMMAND…]: what of the log is shown
  local title=$1 log=$2
  shift 2
  status=1
  say "$title"
  { echo "-- $title"; "${@:-cat}" <"$log" | cut -c1-300 | head -c 4000; echo; } >>"$troubles" || true
}

verdict_tests="not run"
if [[ -z $bench_only ]]; then
  if timeout -k 10 150 "$work/test_cuda" >"$out/tests.log" 2>&1; then
    verdict_tests=pass
    say "tests pass"
  else
    verdict_tests="see the log"
    trouble "TESTS FAIL" "$out/tests.log"
  fi
  tail -n 4 "$out/tests.log"
fi

verdict_memcheck="not run"
verdict_racecheck="not run"
if [[ -n $sanitizer && -z $bench_only ]]; then
  for tool in memcheck racecheck; do
    if ! command -v compute-sanitizer >/dev/null; then
      say "compute-sanitizer $tool: not run, because compute-sanitizer is neither on PATH nor beside $nvcc"
      continue
    fi
    verdict=clean
    timeout -k 10 100 compute-sanitizer --tool "$tool" --error-exitcode 9 "$work/test_cuda" \
      -tc='*only the gradients*,*same bits*,scan*of device*,*every policy once*,expressions*on a stream*' >"$out/$tool.log" 2>&1 ||
      verdict="exit status $?"
    if [[ $verdict == clean ]]; then
      say "compute-sanitizer $tool: clean"
    else
      trouble "compute-sanitizer $tool: $verdict" "$out/$tool.log" grep -m 40 -e '=====' -e ERROR
    fi
    printf -v "verdict_$tool" '%s' "$verdict"
  done
fi

if [[ -n $profile ]]; then
  if command -v ncu >/dev/null; then
    timeout -k 10 120 ncu --clock-control none --kernel-name regex:run_kernel --launch-count 12 \
      --section SpeedOfLight --section Occupancy --section WarpStateStats --section InstructionStats \
      --section LaunchStats "$work/scan_variants_cuda" --benchmark_filter=selective/fused >"$out/profile.log" 2>&1 || true
    say "profiled"
  else
    say "not profiled, because ncu is neither on PATH nor beside $nvcc"
  fi
fi

# The program ends by itself in what is left of ten minutes, with a complete file.
limit=$((540 - (SECONDS - started)))
((limit <= 300)) || limit=300
((limit >= 60)) || limit=60
results=$out/gpu-$name.json
page=$out/gpu-$name.md
rm -f "$results" "$page" "$work"/gpu_*.gp
timeout -k 10 $((limit + 30)) "$work/scan_variants_cuda" --selection="$selection" --time-limit="$limit" \
  --benchmark_filter="$filter" --benchmark_min_time="$min_time" \
  --benchmark_out="$results" --benchmark_out_format=json >"$out/bench.log" 2>&1 &
benchmark=$!
ticks=0
while kill -0 "$benchmark" 2>/dev/null; do
  sleep 0.2
  ((++ticks % 150)) || say "$(tail -n 1 "$out/bench.log" | cut -c1-150)"
done
if ! wait "$benchmark"; then
  trouble "THE BENCHMARK FAILED" "$out/bench.log" grep -e ': failed' -e '^scan_variants_cuda' -e '^terminate'
  tail -n 5 "$out/bench.log"
fi
if ((status == 0)) && [[ ! -s $results ]]; then
  say "no variant's name matches $filter"
  exit 0
fi
if "$work/scan_report" "$results" "$work"; then
  if command -v gnuplot >/dev/null; then
    for script in "$work"/gpu_*.gp; do [[ ! -e $script ]] || gnuplot "$script"; done
  fi
  made=$work/gpu-$name.md
  {
    printf '## Checks of the same run\n\n'
    printf 'Tests: %s. compute-sanitizer memcheck: %s, racecheck: %s. Driver %s, %s.\n\n' \
      "$verdict_tests" "$verdict_memcheck" "$verdict_racecheck" "$(of_device driver_version)" \
      "$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p')"
    printf 'Made by `bench/gpu.sh`.\n'
  } >>"$made"
  # Elsewhere the plots do not lie beside the page.
  without_plots() { grep -v -e '^## Plots$' -e '^!\[' "$made" | cat -s; }
  [[ $out -ef $work ]] || without_plots >"$page"
  if [[ -z $bench_only ]]; then
    mkdir -p docs/results
    without_plots >"docs/results/gpu-$name.md"
  fi
  without_plots
  say "done: $page"
else
  status=1
  say "NO PAGE COULD BE MADE of $results"
fi
say "tests: $verdict_tests; compute-sanitizer memcheck: $verdict_memcheck, racecheck: $verdict_racecheck"
cat "$troubles"
exit $status
