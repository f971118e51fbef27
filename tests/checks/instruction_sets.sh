# What is written in SIMD passes its tests on other instruction sets too: on AVX2 (x86-64-v3), and on NEON in an
# emulator where a cross compiler and qemu-user are (Debian: g++-aarch64-linux-gnu qemu-user).
source "$(dirname "$0")/common.sh"

units=(main tensor/simd scan/selective_scan scan/selective_scan_backward)
# Too much for an emulator: sweeps over many arguments, and waiting for threads.
slow="*ulp*,*both directions*,*number of threads*"

if [[ ${1:-} == --one ]]; then
  read -r target unit <<<"$2"
  case $target in
    x86-64-v3) compiler=("$CXX" -march=x86-64-v3) ;;
    # The host's headers must not come in with the dependencies, so these lie in a folder of their own.
    aarch64) compiler=(aarch64-linux-gnu-g++ -isystem "$scratch/headers") ;;
  esac
  mkdir -p "$scratch/$target"
  if ! output=$("${compiler[@]}" "${compile[@]}" "${warnings[@]}" -O1 -Itests '-DSDLORA_SOURCE_DIR="."' \
                -c "tests/$unit.cpp" -o "$scratch/$target/${unit//\//_}.o" 2>&1); then
    printf 'tests/%s.cpp does not compile for %s:\n%s\n' "$unit" "$target" "$(head -n 12 <<<"$output")"
    exit 1
  fi
  exit 0
fi

targets=()
if [[ $(uname -m) == x86_64 ]]; then
  if grep -q ' avx2 ' /proc/cpuinfo; then targets+=(x86-64-v3); else echo "skipped: AVX2: not on this processor"; fi
fi
if command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null; then
  targets+=(aarch64)
  mkdir -p "$scratch/headers"
  for name in doctest xsimd Eigen unsupported; do
    for folder in "${dependencies[@]}" /usr/include; do
      [[ ! -d $folder/$name ]] || ln -sfn "$folder/$name" "$scratch/headers/$name"
    done
  done
else
  echo "skipped: NEON: aarch64-linux-gnu-g++ or qemu-aarch64 is not installed"
fi
((${#targets[@]})) || skip "no other instruction set can be tried here"

spread < <(for target in "${targets[@]}"; do printf "$target %s\n" "${units[@]}"; done)
for target in "${targets[@]}"; do
  ((failures == 0)) || break
  program=("$scratch/$target/program")
  case $target in
    x86-64-v3) "$CXX" -pthread "$scratch/$target"/*.o -o "${program[0]}" ;;
    aarch64)
      aarch64-linux-gnu-g++ -static -pthread "$scratch/$target"/*.o -o "${program[0]}"
      program=(qemu-aarch64 "${program[@]}" -tce="$slow")
      ;;
  esac
  "${program[@]}" >"$scratch/$target/output" 2>&1 || problem "$target: $(tail -n 30 "$scratch/$target/output")"
done
finish "${targets[*]}"
