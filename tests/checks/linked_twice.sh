# Two units that include everything link into one program: nothing defined in a header lacks `inline`.
source "$(dirname "$0")/common.sh"

cat >"$scratch/first.cpp" <<'CODE'
#include <sdlora/sdlora.hpp>
int second();
int main() { return second() - SDLORA_VERSION_MAJOR; }
CODE
cat >"$scratch/second.cpp" <<'CODE'
#include <sdlora/sdlora.hpp>
int second();
int second() { return SDLORA_VERSION_MAJOR; }
CODE
pids=()
for unit in first second; do
  "$CXX" "${compile[@]}" -O0 -c "$scratch/$unit.cpp" -o "$scratch/$unit.o" &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || problem "a unit that includes <sdlora/sdlora.hpp> does not compile"; done
if ((failures == 0)); then
  "$CXX" -pthread "$scratch/first.o" "$scratch/second.o" -o "$scratch/linked" ||
    problem "two units that include <sdlora/sdlora.hpp> do not link"
  ((failures)) || "$scratch/linked" || problem "the linked program failed"
fi
finish
