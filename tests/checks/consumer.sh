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

# Which dependencies are taken, where find_package refuses and their headers are found.
mkdir -p "$scratch/versions"
cat >"$scratch/versions/CMakeLists.txt" <<'CODE'
cmake_minimum_required(VERSION 3.25)
project(versions LANGUAGES CXX)
if(PARENT_XSIMD)
  add_library(xsimd INTERFACE)
  target_include_directories(xsimd INTERFACE "$<BUILD_INTERFACE:${PARENT_XSIMD}>" $<INSTALL_INTERFACE:include>)
endif()
include("${SDLORA_ROOT}/cmake/dependencies.cmake")
message(STATUS "missing:${sdlora_missing}")
if(TARGET sdlora::xsimd)
  get_target_property(folders sdlora::xsimd INTERFACE_INCLUDE_DIRECTORIES)
  message(STATUS "xsimd: ${folders}")
endif()
CODE
headers_of() {  # FOLDER EIGEN JSON XSIMD, each as "1 2 3"
  local folder=$scratch/versions/$1/include
  mkdir -p "$folder/eigen3/Eigen/src/Core/util" "$folder/nlohmann" "$folder/xsimd/config"
  touch "$folder/eigen3/Eigen/Core" "$folder/xsimd/xsimd.hpp"
  printf '#define EIGEN_WORLD_VERSION %d\n#define EIGEN_MAJOR_VERSION %d\n#define EIGEN_MINOR_VERSION %d\n' $2 \
    >"$folder/eigen3/Eigen/src/Core/util/Macros.h"
  printf '#define NLOHMANN_JSON_VERSION_MAJOR %d  // a\n#define NLOHMANN_JSON_VERSION_MINOR %d // b\n#define NLOHMANN_JSON_VERSION_PATCH %d\n' $3 \
    >"$folder/nlohmann/json.hpp"
  printf '#define XSIMD_VERSION_MAJOR %d\n#define XSIMD_VERSION_MINOR %d\n#define XSIMD_VERSION_PATCH %d\n' $4 \
    >"$folder/xsimd/config/xsimd_config.hpp"
}
headers_of old "3 3 9" "3 9 1" "7 6 0"
headers_of new "3 4 0" "3 10 0" "8 1 0"
look_for_dependencies() {  # FOLDER OPTION…
  local folder=$1
  shift
  rm -rf "$scratch/versions/build"
  output=$("$CMAKE" -S "$scratch/versions" -B "$scratch/versions/build" "${generator[@]}" -DCMAKE_CXX_COMPILER="$CXX" \
    -DSDLORA_ROOT="$root" -DCMAKE_PREFIX_PATH="$scratch/versions/$folder" -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON \
    -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON "$@" 2>&1) || true
}
expect() {  # TEXT
  grep -qF -- "$1" <<<"$output" || problem "dependencies: expected '$1' of" "$output"
}
old=$scratch/versions/old/include new=$scratch/versions/new/include
look_for_dependencies old
expect "Eigen 3.4 or later (<Eigen/Core>; Debian: libeigen3-dev). What lies in $old/eigen3 is 3.3.9."
expect "nlohmann-json 3.10 or later (<nlohmann/json.hpp>; Debian: nlohmann-json3-dev). What lies in $old is 3.9.1."
expect "xsimd 8.1 or later (<xsimd/xsimd.hpp>; Debian: libxsimd-dev). What lies in $old is 7.6.0."
look_for_dependencies new
expect "xsimd: $new"
if grep -q 'missing:.' <<<"$output"; then problem "dependencies that are new enough are refused:" "$output"; fi
look_for_dependencies new "-DPARENT_XSIMD=$scratch/parent"
expect "xsimd: \$<BUILD_INTERFACE:$scratch/parent>"
look_for_dependencies new "-DPARENT_XSIMD=$old"
expect "The target xsimd is 7.6.0."

mkdir -p "$scratch/components"
cat >"$scratch/components/CMakeLists.txt" <<'CODE'
cmake_minimum_required(VERSION 3.25)
project(components LANGUAGES CXX)
find_package(sdlora 0.1 REQUIRED CONFIG COMPONENTS cuda)
CODE
output=$("$CMAKE" -S "$scratch/components" -B "$scratch/components/build" "${generator[@]}" -DCMAKE_CXX_COMPILER="$CXX" \
  -DCMAKE_PREFIX_PATH="$scratch/prefix" 2>&1) && problem "find_package(sdlora COMPONENTS cuda) succeeds"
grep -qF 'sdlora has no component "cuda", only "scan"' <<<"$(tr '\n' ' ' <<<"$output" | tr -s ' ')" ||
  problem "find_package(sdlora COMPONENTS cuda) does not say why it fails:" "$output"

# sdlora::scan does without Eigen and nlohmann-json.
mkdir -p "$scratch/scan/source"
cat >"$scratch/scan/source/CMakeLists.txt" <<'CODE'
cmake_minimum_required(VERSION 3.25)
project(scan_alone LANGUAGES CXX)
if(FROM STREQUAL "installed")
  find_package(sdlora 0.1 REQUIRED CONFIG COMPONENTS scan)
else()
  set(SDLORA_SCAN_ONLY ON)
  add_subdirectory("${SDLORA_ROOT}" sdlora)
endif()
add_executable(scan_alone main.cpp)
target_link_libraries(scan_alone PRIVATE sdlora::scan)
CODE
cat >"$scratch/scan/source/main.cpp" <<'CODE'
#include <sdlora/scan.hpp>

int main() {
  using namespace sdlora;
  const float a[3] = {2, 2, 2}, b[3] = {1, 1, 1};
  float h[3] = {};
  scan(SimdChannels{}, MatrixView<const float>(a, 3, 1), MatrixView<const float>(b, 3, 1), MatrixView<float>(h, 3, 1));
  return h[2] == 7 ? 0 : 1;
}
CODE
# Dependencies that are there but too old stand for missing ones.
for from in subdirectory installed; do
  if ! {
    "$CMAKE" -S "$scratch/scan/source" -B "$scratch/scan/$from" "${generator[@]}" -DCMAKE_CXX_COMPILER="$CXX" -DFROM="$from" \
      -DSDLORA_ROOT="$root" -DCMAKE_PREFIX_PATH="$scratch/prefix" -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON \
      -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON -DSDLORA_Eigen3_INCLUDE="$scratch/versions/old/include/eigen3" \
      -DSDLORA_nlohmann_json_INCLUDE="$scratch/versions/old/include" &&
      "$CMAKE" --build "$scratch/scan/$from" && "$scratch/scan/$from/scan_alone"
  } >"$scratch/scan/$from.log" 2>&1; then
    problem "sdlora::scan without Eigen and nlohmann-json ($from) fails:" "$(tail -n 25 "$scratch/scan/$from.log")"
  fi
done

# Compiled with OpenMP, where Eigen splits products itself, matmul still runs on sdlora's threads alone.
cat >"$scratch/openmp.cpp" <<'CODE'
#include <sdlora/tensor/matmul.hpp>

#include <omp.h>

#include <filesystem>
#include <iterator>
#include <vector>

int main() {
  using namespace sdlora;
  constexpr std::size_t n = 256;
  const std::vector<float> a(n * n, 1);
  std::vector<float> out(n * n);
  set_thread_count(1);
  omp_set_num_threads(4);
  const MatrixView<const float> A(a.data(), n, n);
  matmul(MatrixView<float>(out.data(), n, n), A, A);
  const auto tasks = std::filesystem::directory_iterator("/proc/self/task");
  return std::distance(begin(tasks), end(tasks)) == 1 && omp_get_max_threads() == 4 && out[0] == n ? 0 : 1;
}
CODE
if [[ -d /proc/self/task ]] &&
  "$CXX" "${compile[@]}" -O1 -fopenmp "$scratch/openmp.cpp" -o "$scratch/openmp" 2>"$scratch/openmp.log"; then
  "$scratch/openmp" || problem "matmul compiled with OpenMP starts threads of Eigen's, or leaves another number of them"
else
  echo "skipped: OpenMP: $(head -n 1 "$scratch/openmp.log" 2>/dev/null || true)"
fi
finish
