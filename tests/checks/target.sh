# Builds the target named, in the build that CTest runs: what it makes, passes. Says what of it does not.
source "$(dirname "$0")/common.sh"

target=${1:?name a target}
options=()
[[ ! -f $SDLORA_CHECK_DIR/../build.ninja ]] || options=(-- -k 0)
if ! output=$("$CMAKE" --build "$SDLORA_CHECK_DIR/.." --target "$target" --parallel "$jobs" "${options[@]}" 2>&1); then
  problem "$output"
fi
check_name=$target
finish
