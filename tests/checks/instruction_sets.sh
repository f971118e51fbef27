# What is written in SIMD passes its tests on another instruction set too: `instruction_sets.sh x86-64-v3` on AVX2,
# `instruction_sets.sh aarch64` on NEON, in an emulator (Debian: g++-aarch64-linux-gnu qemu-user).
source "$(dirname "$0")/common.sh"

units=(main tensor/simd scan/simd_channels scan/simd_states scan/chunked scan/heinsen scan/cumsum_ratio
  scan/scan_bfloat16 scan/selective_scan scan/selective_scan_backward scan/selective_scan_wanted
  scan/selective_scan_segments scan/exp2_table)
# In the emulator: what only waits for threads is left out, and half of its time goes to these sweeps.
threads="*number of threads*"
sweeps="*ulp<double>*,*both directions<double>*"

if [[ ${1:-} == --one ]]; then
  read -r target unit <<<"$2"
  case $target in
    x86-64-v3) compiler=("$CXX" -march=x86-64-v3) ;;
    # The host's headers must not come in with the dependencies, so these lie in a folder of their own.
    aarch64) compiler=(aarch64-linux-gnu-g++ -isystem "$scratch/headers") ;;
  esac
  if ! output=$("${compiler[@]}" "${compile[@]}" "${warnings[@]}" -O1 -Itests '-DSDLORA_SOURCE_DIR="."' \
                -c "tests/$unit.cpp" -o "$scratch/$target/${unit//\//_}.o" 2>&1); then
    printf 'tests/%s.cpp does not compile for %s:\n%s\n' "$unit" "$target" "$(head -n 12 <<<"$output")"
    exit 1
  fi
  exit 0
fi

target=${1:-}
folder=$scratch/$target
case $target in
  x86-64-v3)
    [[ $(uname -m) == x86_64 ]] && grep -q ' avx2 ' /proc/cpuinfo || skip "AVX2: not on this processor"
    linker=("$CXX")
    runs=("$folder/program")
    ;;
  aarch64)
    command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null ||
      skip "NEON: aarch64-linux-gnu-g++ or qemu-aarch64 is not installed"
    mkdir -p "$scratch/headers"
    for name in doctest xsimd Eigen unsupported; do
      for place in "${dependencies[@]}" /usr/include; do
        [[ ! -d $place/$name ]] || ln -sfn "$place/$name" "$scratch/headers/$name"
      done
    done
    linker=(aarch64-linux-gnu-g++ -static)
    runs=("qemu-aarch64 $folder/program -tce='$threads,$sweeps'" "qemu-aarch64 $folder/program -tc='$sweeps'")
    ;;
  *) problem "name an instruction set: x86-64-v3 or aarch64, not '$target'"; finish ;;
esac

rm -rf "$folder"
mkdir -p "$folder"
# The longest come last in the list: they begin first.
spread < <(printf "$target %s\n" "${units[@]}" | tac)
if ((failures == 0)); then
  "${linker[@]}" -pthread "$folder"/*.o -o "$folder/program"
  for i in "${!runs[@]}"; do eval "${runs[i]}" >"$folder/output.$i" 2>&1 & processes[i]=$!; done
  for i in "${!runs[@]}"; do
    wait "${processes[i]}" || problem "$target: $(tail -n 30 "$folder/output.$i")"
  done
fi
finish "$target, ${#units[@]} units"
