# bench/run.sh, in a copy of the tree and with stand-ins for the programs, Python and the GPU's tools: its arguments, what a
# whole run leaves, and what it says and leaves when something is missing or fails. gnuplot, and scan_report where it is
# built, are the real ones.
source "$(dirname "$0")/common.sh"

tree=$scratch/tree tools=$scratch/tools programs=$scratch/programs
rm -rf "$tree" "$tools" "$programs"
mkdir -p "$tree/bench" "$tools" "$programs"
cp bench/run.sh "$tree/bench/"
out=$tree/build/bench page=$tree/build/bench/scan_variants.md

# The script finds what lies in $tools and nothing else, so that what a machine has may be missing.
for tool in bash basename cat cp cut dirname env grep head ls lscpu mkdir mv paste rm sed tee uniq; do
  ! path=$(command -v "$tool") || ln -s "$path" "$tools/$tool"
done
gnuplot=$(command -v gnuplot || true)
real_report=""
for built in "$SDLORA_CHECK_DIR/../bench/scan_report" build/release/bench/scan_report; do
  if [[ -x $built ]]; then real_report=$(cd "$(dirname "$built")" && pwd)/scan_report; break; fi
done

# The stand-ins note their arguments in $FAKE_LOG; FAKE_FAILS is the one that says something and fails.
cat >"$tools/stand_in" <<'FAKE'
#!/usr/bin/env bash
name=$(basename "$0")
echo "$name $*" >>"$FAKE_LOG"
fails() { [[ ${FAKE_FAILS:-} == "$name${1:-}" ]]; }
case $name in
  scan_variants)
    for a in "$@"; do [[ $a != --benchmark_out=* ]] || json=${a#*=}; done
    fails " whole" && status=1
    if fails " half"; then echo '{"context": {}, "bench' >"$json"; exit 1; fi
    {
      echo '{"context": {}, "benchmarks": ['
      between=""
      for direction in forward backward; do
        for shape in L:128/D:1/N:16 L:1024/D:1/N:16 L:512/D:64/N:1 L:512/D:64/N:16 L:512/D:16/N:16; do
          echo "$between{\"name\": \"columns/one/$direction/float/B:1/$shape/threads:1\", \"best_ns_per_element\": 1.5,"
          echo '"GB_per_s": 8, "copy_GB_per_s": 16, "of_copy": 0.5, "bare_ns_per_element": 0.75, "of_bare": 0.5}'
          between=,
        done
      done
      echo ']}'
    } >"$json"
    exit "${status:-0}"
    ;;
  scan_report)
    if fails; then echo "# Half" >"$2/scan_variants.md"; exit 1; fi
    [[ -z $FAKE_REPORT ]] || exec "$FAKE_REPORT" "$@"
    grep -q '^]}' "$1" || exit 1
    printf '# A page\n\n## Plots\n\n![a plot](scan_one.png)\n' >"$2/scan_variants.md"
    printf "set terminal png\nset output '%s/scan_one.png'\nplot x\n" "$2" >"$2/scan_one.gp"
    ;;
  python3) # only makes environments, of itself
    fails && exit 1
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    ;;
  python)
    case $1 in
      -c) [[ -n ${FAKE_PEERS:-} ]] ;;
      -m) ! fails ;;
      *) echo "| peers |"; ! fails " peers" ;;
    esac
    ;;
  nvidia-smi) [[ -n ${FAKE_DEVICE:-} ]] ;;
  nproc) echo 4 ;;
  *) echo "figures of $name $*"; ! fails && ! fails " $*" ;;
esac
FAKE
chmod +x "$tools/stand_in"
for name in scan_variants scan_report selective_scan selective_scan_v3 expression train_step; do
  cp "$tools/stand_in" "$programs/$name"
done
for name in python3 python nvidia-smi nvcc nproc; do cp "$tools/stand_in" "$tools/$name"; done
cat >"$tree/bench/gpu.sh" <<'FAKE'
mkdir -p build/gpu
echo "$*" >>"$FAKE_LOG"
[[ -z ${FAKE_GPU:-} ]] || exit 1
echo "# A device" >build/gpu/gpu-fake.md
FAKE
export FAKE_LOG=$scratch/log FAKE_REPORT=$real_report

# bench STATUS ARGUMENTS…: runs the copy; what it prints is in $printed, its page in $shown.
bench() {
  local expected=$1 status=0
  shift
  rm -f "$FAKE_LOG"
  shown=$(PATH=$tools CXX=true SDLORA_BENCH_PROGRAMS=$programs "$BASH" "$tree/bench/run.sh" "$@" 2>"$scratch/err") ||
    status=$?
  printed=$(cat "$scratch/err")
  ((status == expected)) || problem "bench/run.sh $*: expected exit status $expected, found $status: $printed"
  [[ -z $(compgen -G "$out/*.part") ]] || problem "bench/run.sh $*: leaves something half written: $(ls "$out")"
}
says() { grep -qF -- "$1" <<<"$printed" || problem "bench/run.sh says nothing like '$1', but: $printed"; }
shows() { grep -qF -- "$1" <<<"$shown" || problem "bench/run.sh shows no page with '$1', but: $(tail -n 5 <<<"$shown")"; }
calls() { grep -qF -- "$1" "$FAKE_LOG" || problem "bench/run.sh does not call '$1', but: $(cat "$FAKE_LOG")"; }
leaves() { [[ -s $out/$1 ]] || problem "bench/run.sh leaves no $1, but: $(ls "$out")"; }
leaves_no() { [[ -z $(compgen -G "$out/$1") ]] || problem "bench/run.sh leaves $1"; }

bench 2 --no-such-argument
says "unknown argument --no-such-argument"
says "--filter     only the scan variants whose names match"
bench 2 --min-time=long
says "--min-time: expected seconds, found 'long'"
mv "$programs/scan_report" "$programs/elsewhere"
bench 1
says "scan_report is not built"
mv "$programs/elsewhere" "$programs/scan_report"
[[ ! -e $out ]] || problem "bench/run.sh: what it refuses leaves something"

# All well: nothing of an earlier run, what somebody put there, and figures on one thread and on all.
mkdir -p "$out"
touch "$out"/{scan_old.gp,scan_old.png,notes}
[[ -z $gnuplot ]] || ln -s "$gnuplot" "$tools/gnuplot"
bench 0 --all --filter=a/b --min-time=0.5
calls "scan_variants --selection=all --benchmark_filter=a/b --benchmark_min_time=0.5 --benchmark_out="
calls "train_step 3 24 1"
calls "train_step 3 24 4"
[[ $(cat "$out/train_step.txt") == "figures of train_step 3 24 1"$'\n'"figures of train_step 3 24 4" ]] ||
  problem "bench/run.sh: train_step.txt has not both figures: $(cat "$out/train_step.txt")"
says "figures of expression"
says "left out: no device"
shows "## Machine"
[[ $shown == "$(cat "$page")" ]] || problem "bench/run.sh shows another page than it leaves"
for file in notes scan_variants.json selective_scan.txt expression.txt; do [[ -e $out/$file ]] || leaves "$file"; done
leaves_no 'scan_old*'
drawn=0
for script in "$out"/*.gp; do
  plot=$(basename "$script" .gp).png
  drawn=$((drawn + 1))
  if [[ -n $gnuplot ]]; then
    head -c 4 "$out/$plot" | grep -q PNG || problem "bench/run.sh: $plot is no PNG"
    shows "($plot)"
  fi
done
expected=1
[[ -z $real_report ]] || expected=6
((drawn == expected)) || problem "bench/run.sh: $drawn plots, not the report's $expected"

bench 0
calls "scan_variants --selection=quick --benchmark_filter=. --benchmark_out="

# Without plots, the page shows none.
rm -f "$tools/gnuplot"
bench 0
says "gnuplot is not installed"
leaves_no '*.png'
if grep -q 'png\|## Plots' "$page"; then problem "bench/run.sh: the page shows plots that are not there"; fi
shows "## Machine"
printf '#!/usr/bin/env bash\nexit 1\n' >"$tools/gnuplot"
chmod +x "$tools/gnuplot"
bench 1
says "gnuplot build/bench/scan_"
leaves train_step.txt
rm "$tools/gnuplot"

# Peers: had, not to be had, not to be installed, and failing.
FAKE_PEERS=yes PEERS_PYTHON=$tools/python bench 0 --peers
shows "| peers |"
leaves scan_peers.md
PEERS_PYTHON=$tools/python bench 0 --peers
says "has not torch"
shows "Not run: torch and mambapy could not be had."
FAKE_FAILS=python3 bench 0 --peers
says "no Python environment can be made"
shows "Not run"
FAKE_FAILS=python bench 0 --peers
says "cannot be installed here"
shows "## Machine"
rm -rf "$tree/build/peers"
bench 0 --peers
calls "python3 -m venv build/peers"
for package in torch mambapy; do
  grep -qE "pip install.* $package==[0-9.]+" "$FAKE_LOG" || problem "bench/run.sh installs any $package"
done
shows "| peers |"
FAKE_FAILS="python peers" FAKE_PEERS=yes PEERS_PYTHON=$tools/python bench 1 --peers
shows "The comparison failed."
says "FAILED: scan_peers.md"
leaves_no scan_peers.md

# A program that fails leaves nothing, and the others go on.
for name in selective_scan expression "train_step 3 24 1" "train_step 3 24 4"; do
  FAKE_FAILS=$name bench 1
  says "FAILED: ${name%% *}.txt"
  leaves_no "${name%% *}.txt"
  leaves scan_variants.md
done
FAKE_FAILS="scan_variants whole" bench 1
says "FAILED: scan_variants"
leaves scan_variants.md
for name in "scan_variants half" scan_report; do
  FAKE_FAILS=$name bench 1 --peers
  says "scan_report"
  leaves_no 'scan_variants.*'
  leaves_no '*.gp'
  leaves train_step.txt
done

# Where there is a GPU, its page follows.
FAKE_DEVICE=yes bench 0 --filter=a/b
calls "--bench-only --out build/gpu --filter=a/b --quick"
shows "# A device"
FAKE_DEVICE=yes FAKE_GPU=fails bench 1
says "FAILED: bench/gpu.sh"
shows "## Machine"
how="all well, plots drawn: $drawn"
[[ -n $gnuplot ]] || how="all well, but no plot was drawn, because gnuplot is not installed"
finish "$how"
