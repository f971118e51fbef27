# A project that uses sdlora sees no warnings and needs nothing said twice: as a subdirectory, fetched, installed.
source "$(dirname "$0")/common.sh"

generator=()
command -v ninja >/dev/null && generator=(-G Ninja)
rm -rf "$scratch"
mkdir -p "$scratch"
root=$PWD

if ! {
  "$CMAKE" -S . -B "$scratch/package" "${generator[@]}" -DSDLORA_BUILD_TESTS=OFF -DSDLORA_BUILD_EXAMPLES=OFF \
    -DSDLORA_BUILD_BENCH=OFF -DSDLORA_CUDA=OFF -DCMAKE_INSTALL_PREFIX="$scratch/prefix" &&
    "$CMAKE" --install "$scratch/package"
} >"$scratch/install.log" 2>&1; then
  problem "the installation failed:" "$(tail -n 30 "$scratch/install.log")"
fi

for use in subdirectory fetched installed; do
  log=$scratch/$use.log
  if ! {
    "$CMAKE" -S tests/consumer -B "$scratch/$use" "${generator[@]}" -DCMAKE_CXX_COMPILER="$CXX" -DUSE="$use" \
      -DSDLORA_ROOT="$root" -DCMAKE_PREFIX_PATH="$scratch/prefix" &&
      "$CMAKE" --build "$scratch/$use" --parallel "$jobs" && "$scratch/$use/consumer"
  } >"$log" 2>&1; then
    problem "a project that uses sdlora ($use) fails:" "$(tail -n 25 "$log")"
    continue
  fi
  # As a subproject it brings no tests, programs or installation of its own.
  if [[ $use != installed ]] && "$CMAKE" --build "$scratch/$use" --target help | grep -E '^(tests|examples|bench):' >/dev/null; then
    problem "as a subproject ($use) sdlora adds its own tests or programs"
  fi
done
finish
