# bench/gpu.sh, in a copy of the tree and without a GPU: its arguments, its pack, and, with stand-ins for the driver's tools
# and the compiler, what a whole run leaves and says when something fails.
source "$(dirname "$0")/common.sh"

for script in bench/*.sh; do bash -n "$script" || problem "$script: is no bash"; done

tree=$scratch/tree tools=$scratch/tools out=$scratch/out
rm -rf "$tree" "$tools" "$out" "$scratch/benchmark"
mkdir -p "$tree/bench/gpu" "$tree/tests/cuda" "$tools/cuda" "$scratch/benchmark"/{src,include/benchmark}
cp bench/gpu.sh "$tree/bench/"
touch "$tree/bench/gpu/variants.cu" "$tree/bench/scan_report.cpp" "$tree/tests/main.cpp"
for i in 1 2 3 4 5 6; do touch "$tree/tests/cuda/test$i.cu"; done

# Stand-ins: a driver that knows devices 0 and 2; a compiler that notes how many of it run at once, and whose programs are
# scripts; a sanitizer. What they do else is set by FAKE_…
cat >"$tools/nvidia-smi" <<'FAKE'
#!/usr/bin/env bash
[[ -z ${FAKE_NO_DEVICE:-} ]] || exit 9
device=0
if [[ $1 == -i ]]; then device=$2; fi
case "$*" in
  -L) echo "GPU 0: Fake 0" ;;
  *gpu=name*) [[ $device == [02] ]] && echo "NVIDIA Fake $device" ;;
  *compute_cap*) echo 9.0 ;;
  *driver_version*) echo 580.0 ;;
esac
FAKE
cat >"$tools/cuda/nvcc" <<'FAKE'
#!/usr/bin/env bash
if [[ $1 == --version ]]; then echo "Cuda compilation tools, release 13.0, V13.0.1"; exit; fi
source=""
while (($#)); do
  case $1 in
    -o) target=$2; shift ;;
    *.cu | *.cpp) source=$1 ;;
  esac
  shift
done
if [[ -n $source ]]; then
  mkdir "$FAKE_STATE/$$"
  ls "$FAKE_STATE" | wc -l >>"$FAKE_STATE.log"
  sleep 0.05
  [[ $source != *"${FAKE_SLOW:-none}"* ]] || sleep 30
  rmdir "$FAKE_STATE/$$"
  if [[ $source == *"${FAKE_BROKEN:-none}"* ]]; then echo "error: broken on purpose"; exit 1; fi
  touch "$target"
  exit
fi
printf '#!/usr/bin/env bash\n' >"$target"
case $target in
  *test_cuda) echo 'echo "${FAKE_TESTS:-all well}"; [[ -z ${FAKE_SLOW_RUN:-} ]] || sleep 30
                    exit "${FAKE_TEST_STATUS:-0}"' ;;
  *scan_report) echo 'stem=$(basename "$1" .json); echo "# Page of $stem" >"$2/$stem.md"
                      printf "## Plots\n\n![a plot](gpu_a.png)\n\n" >>"$2/$stem.md"; echo "set output" >"$2/gpu_a.gp"' ;;
  *) echo 'for i in {1..400}; do echo "[$i/400] some variant: 1 ns/element"; done
           for a in "$@"; do [[ $a != --benchmark_out=* ]] || printf "{\n\"benchmarks\": [" >"${a#*=}"; done
           [[ -z ${FAKE_SLOW_RUN:-} ]] || sleep 30
           for a in "$@"; do [[ $a != --benchmark_out=* ]] || printf "\n  ]\n}\n" >>"${a#*=}"; done
           [[ -z ${FAKE_BENCH:-} ]] || { echo "[401/401] columns/bad: failed: on purpose"; exit 1; }' ;;
esac >>"$target"
chmod +x "$target"
FAKE
cat >"$tools/sanitizer" <<'FAKE'
#!/usr/bin/env bash
echo "$*" >>"$FAKE_STATE.sanitizer"
echo "========= COMPUTE-SANITIZER"
if [[ -n ${FAKE_SLOW_RUN:-} ]]; then
  [[ $* != *racecheck* ]] || echo "========= a hazard"
  sleep 30
fi
echo "========= ERROR SUMMARY: ${FAKE_ERRORS:-0} errors"
[[ -z ${FAKE_ERRORS:-} ]] || exit 9
FAKE
printf '#!/usr/bin/env bash\nexit 0\n' >"$tools/gnuplot"
ln -s cuda/nvcc "$tools/nvcc"
chmod +x "$tools"/*
export FAKE_STATE=$scratch/running
unset OUT CUDA_VISIBLE_DEVICES

# gpu STATUS ARGUMENTS…: runs the copy; what it prints is in $printed.
printed=""
gpu() {
  local expected=$1 status=0
  shift
  rm -rf "$FAKE_STATE" "$out"
  mkdir "$FAKE_STATE"
  printed=$(PATH=$tools:/usr/bin:/bin bash "$tree/bench/gpu.sh" "$@" 2>&1) || status=$?
  ((status == expected)) || problem "bench/gpu.sh $*: expected exit status $expected, found $status: $(tail -n 5 <<<"$printed")"
}
says() { grep -qF -- "$1" <<<"$printed" || problem "bench/gpu.sh says nothing like '$1', but: $(tail -n 15 <<<"$printed")"; }
# What a reader of the last 3000 characters still sees.
ends() {
  grep -qF -- "$1" < <(tail -c 3000 <<<"$printed") ||
    problem "bench/gpu.sh does not end with '$1', but: $(tail -n 5 <<<"$printed")"
}

gpu 2 --no-such-argument
says "unknown argument --no-such-argument"
FAKE_NO_DEVICE=yes gpu 77
says "skipped: no device"

# The pack: with the sources named, and nowhere but in the copy.
echo "int nothing();" >"$scratch/benchmark/include/benchmark/benchmark.h"
echo "int nothing() { return 0; }" >"$scratch/benchmark/src/benchmark.cc"
touch "$scratch/benchmark/src/benchmark_main.cc" "$scratch/benchmark/src/log.h"
packed=0
PATH=$tools:$PATH BENCHMARK_SOURCE=$scratch/benchmark bash "$tree/bench/gpu.sh" pack >"$scratch/pack.log" 2>&1 || packed=$?
((packed == 0)) || grep -q "the pack lacks" "$scratch/pack.log" || problem "bench/gpu.sh pack: $(cat "$scratch/pack.log")"
for file in include/benchmark/benchmark.h benchmark/src/benchmark.cc benchmark/src/log.h; do
  [[ -f $tree/build/gpu-deps/$file ]] || problem "bench/gpu.sh pack: $file is not in the pack"
done
[[ ! -e $tree/build/gpu-deps/benchmark/src/benchmark_main.cc ]] || problem "bench/gpu.sh pack: takes benchmark_main.cc along"

# All well, without a sanitizer.
at_most=$(nproc)
((at_most >= 2)) || at_most=2
rm -f "$FAKE_STATE.log"
gpu 0 --out "$out"
says "tests pass"
if ! PATH=/usr/bin:/bin command -v compute-sanitizer >/dev/null; then says "compute-sanitizer memcheck: not run"; fi
ends "# Page of gpu-fake-0"
ends "tests: pass"
if grep -qF "some variant" <<<"$printed"; then problem "bench/gpu.sh prints a line for each variant"; fi
[[ $(ls "$out" | tr '\n' ' ') == "bench.log gpu-fake-0.json gpu-fake-0.md tests.log " ]] ||
  problem "bench/gpu.sh leaves other files than the page, its JSON and logs: $(ls "$out" | tr '\n' ' ')"
if grep -q plot "$out/gpu-fake-0.md"; then problem "bench/gpu.sh: the page shows plots that do not lie beside it"; fi
[[ -s $tree/docs/results/gpu-fake-0.md ]] || problem "bench/gpu.sh: no page in docs/results"
most=$(sort -n "$FAKE_STATE.log" | tail -n 1)
((most <= at_most)) || problem "bench/gpu.sh: $most compilers at once, where $at_most were to be"

# The device is the first that CUDA would take, and the sanitizer, beside what nvcc is a link to, is found there.
mv "$tools/sanitizer" "$tools/cuda/compute-sanitizer"
rm -f "$FAKE_STATE.sanitizer"
CUDA_VISIBLE_DEVICES=2,0 gpu 0 --out "$out"
says "NVIDIA Fake 2"
says "memcheck: clean"
# Every name that the sanitizers are given is one of a test.
filter=$(sed -n "s/.*-tc=\([^']*\).*/\1/p" "$FAKE_STATE.sanitizer" | head -n 1)
titles=$(sed -n 's/^TEST_CASE("\([^"]*\)".*/\1/p' tests/cuda/*.cu)
for title in 'every policy once' 'expressions'; do
  [[ $filter == *"$title"* ]] || problem "bench/gpu.sh: the sanitizers do not see tests of: $title"
done
IFS=, read -ra patterns <<<"$filter"
for pattern in "${patterns[@]}"; do
  found=""
  while IFS= read -r title; do [[ $title != $pattern ]] || found=yes; done <<<"$titles"
  [[ -n $found ]] || problem "bench/gpu.sh: no test is called $pattern, which the sanitizers are to see"
done
(($(ls "$out" | wc -l) == 6)) || problem "bench/gpu.sh leaves $(ls "$out" | wc -l) files, not 6"
CUDA_VISIBLE_DEVICES=1 gpu 1 --out "$out"
says "knows no device 1"

# What fails is said, and again at the end.
FAKE_TESTS="tests/cuda/x.cu:1: ERROR: CHECK( false )" FAKE_TEST_STATUS=1 gpu 1 --out "$out"
ends "TESTS FAIL"
ends "tests/cuda/x.cu:1: ERROR: CHECK( false )"
FAKE_ERRORS=3 gpu 1 --out "$out"
ends "compute-sanitizer racecheck: exit status 9"
ends "ERROR SUMMARY: 3 errors"
FAKE_BENCH=fails gpu 1 --out "$out"
ends "columns/bad: failed: on purpose"
FAKE_BROKEN=test3 gpu 1 --out "$out"
ends "error: broken on purpose"

# What takes too long is cut in time, and the page is there and says so. Stages have shares of SDLORA_GPU_SECONDS.
cut_runs() {  # SECONDS ENVIRONMENT…
  local seconds=$1 before=$SECONDS
  shift
  local "${@?}"
  export SDLORA_GPU_SECONDS=$seconds "${@%%=*}"
  gpu 1 --out "$out"
  unset SDLORA_GPU_SECONDS "${@%%=*}"
  ((SECONDS - before <= seconds + 1)) ||
    problem "bench/gpu.sh takes $((SECONDS - before)) s where it has $seconds: $*"
}
page_says() { grep -qF -- "$1" "$out/gpu-fake-0.md" || problem "bench/gpu.sh: the page says nothing like '$1'"; }
cut_runs 6 FAKE_SLOW=test3
page_says "# Page of gpu-fake-0"
page_says "Tests: not run."
page_says "Cut for want of time: the build of the tests, after"
ends "CUT: the build of the tests"
kept=$(cat "$tree/docs/results/gpu-fake-0.md")
cut_runs 6 FAKE_SLOW=variants.cu
page_says "No figures"
page_says "Tests: pass."
page_says "Cut for want of time: the build of the benchmark, after"
[[ $(cat "$tree/docs/results/gpu-fake-0.md") == "$kept" ]] ||
  problem "bench/gpu.sh: a page without figures takes the place of one in docs/results"
cut_runs 12 FAKE_SLOW_RUN=yes
for stage in "the tests" "compute-sanitizer memcheck" "compute-sanitizer racecheck" "the benchmark"; do
  page_says "Cut for want of time: $stage"
done
page_says "# Page of gpu-fake-0"
ends "-- compute-sanitizer racecheck finds before that"
ends "a hazard"
! grep -qF "memcheck finds" <<<"$printed" || problem "bench/gpu.sh: a tool that was cut is said to have found something"
[[ $(tr -d '\n ' <"$out/gpu-fake-0.json") == '{"benchmarks":[]}' ]] || problem "bench/gpu.sh: what is cut leaves no whole JSON"
finish
