# What is written in SIMD passes its tests on NEON too, in an emulator (Debian: g++-aarch64-linux-gnu qemu-user).
source "$(dirname "$0")/common.sh"

units=(main tensor/simd scan/menu/{simd_channels,simd_states,chunked,heinsen,cumsum_ratio,scan_bfloat16}
  scan/selective/{selective_scan,backward,wanted,segments,exp2_table})
# What only waits for threads is left out, and half of the emulator's time goes to these sweeps.
threads="*number of threads*"
sweeps="*ulp<double>*,*both directions<double>*"

if [[ ${1:-} == --one ]]; then
  # The host's headers must not come in with the dependencies, so these lie in a folder of their own.
  if ! output=$(aarch64-linux-gnu-g++ -isystem "$scratch/headers" "${compile[@]}" "${warnings[@]}" -O1 -Itests \
                '-DSDLORA_SOURCE_DIR="."' -c "tests/$2.cpp" -o "$scratch/objects/${2//\//_}.o" 2>&1); then
    printf 'tests/%s.cpp does not compile for aarch64:\n%s\n' "$2" "$(head -n 12 <<<"$output")"
    exit 1
  fi
  exit 0
fi

command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null ||
  skip "NEON: aarch64-linux-gnu-g++ or qemu-aarch64 is not installed"
mkdir -p "$scratch/headers"
for name in doctest xsimd Eigen unsupported; do
  for place in "${dependencies[@]}" /usr/include; do
    [[ ! -d $place/$name ]] || ln -sfn "$place/$name" "$scratch/headers/$name"
  done
done
rm -rf "$scratch/objects"
mkdir -p "$scratch/objects"
# The longest come last in the list: they begin first.
spread < <(printf '%s\n' "${units[@]}" | tac)
program=$scratch/program
if ((failures == 0)); then
  aarch64-linux-gnu-g++ -static -pthread "$scratch"/objects/*.o -o "$program"
  qemu-aarch64 "$program" -tce="$threads,$sweeps" >"$scratch/output.0" 2>&1 &
  processes=($!)
  qemu-aarch64 "$program" -tc="$sweeps" >"$scratch/output.1" 2>&1 &
  processes+=($!)
  for i in "${!processes[@]}"; do wait "${processes[i]}" || problem "$(tail -n 30 "$scratch/output.$i")"; done
fi
finish "${#units[@]} units"
