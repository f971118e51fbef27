# Every public header has a test of its name: include/sdlora/scan/ops.hpp → tests/scan/ops.cpp, .cuh → tests/cuda/ops.cu.
source "$(dirname "$0")/common.sh"

while IFS= read -r header; do
  path=${header#include/sdlora/}
  [[ $path == */* && $path != */detail/* ]] || continue
  case $path in
    *.hpp) test=tests/${path%.hpp}.cpp ;;
    *.cuh) test=tests/cuda/$(basename "$path" .cuh).cu ;;
    *) continue ;;
  esac
  [[ -f $test ]] || problem "$header has no test: $test is missing"
done < <(files include/sdlora)
finish
