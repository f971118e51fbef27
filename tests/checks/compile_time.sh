# Including the library stays within its compile-time budget.
source "$(dirname "$0")/common.sh"

SDLORA_INCLUDES="${dependencies[*]}" CXX=$CXX bash bench/compile_time.sh --check ||
  problem "over the compile-time budget: find what was included with g++ -H"
finish
