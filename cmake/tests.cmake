# One executable per folder of tests, test_<folder>, from tests/<folder>/*.cpp; the target `tests` builds them all.
# SDLORA_TEST_EXCLUDE leaves sources out: under the sanitizers, those that take minutes to compile or to run while
# their loops run in other tests too.
# Labels: unit and the folder's name; check for the scripts of tests/checks.
include(warnings)
include(sanitizers)

sdlora_find_headers(doctest doctest::doctest doctest/doctest.h)
if(NOT doctest_FOUND)
  message(FATAL_ERROR "the tests need doctest (Debian: apt-get install doctest-dev); "
                      "-DSDLORA_BUILD_TESTS=OFF does without them")
endif()

function(sdlora_configure_test target)
  target_link_libraries(${target} PRIVATE sdlora::sdlora doctest::doctest)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests" "${PROJECT_SOURCE_DIR}/examples")
  target_compile_definitions(${target} PRIVATE SDLORA_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                               SDLORA_BUILD_DIR="${PROJECT_BINARY_DIR}")
  sdlora_set_warnings(${target})
  sdlora_set_sanitizers(${target})
endfunction()

add_custom_target(tests)
# What models share is compiled here once, without SDLORA_TEST_FLAGS: as users compile it.
add_library(test_main OBJECT "${PROJECT_SOURCE_DIR}/tests/main.cpp" "${PROJECT_SOURCE_DIR}/tests/support/instances.cpp")
sdlora_configure_test(test_main)

# The test `name`, an executable test_<name> of these sources.
function(sdlora_add_test name)
  set(target test_${name})
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE test_main)
  sdlora_configure_test(${target})
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${SDLORA_TEST_FLAGS}>)
  foreach(flag IN LISTS SDLORA_TEST_FLAGS)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${flag}>)
  endforeach()
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  add_dependencies(tests ${target})
  add_test(NAME ${name} COMMAND ${target} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set(timeout 600)
  if(SDLORA_SANITIZE)
    set(timeout 1800)
  endif()
  # 77: nothing failed, but something was left out: for want of a device (tests/support/device.hpp), or of Thrust.
  set_tests_properties(${name} PROPERTIES LABELS "unit;${name}" TIMEOUT ${timeout} SKIP_RETURN_CODE 77)
endfunction()

function(sdlora_add_test_folder folder)
  if(folder STREQUAL "cuda")
    file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/cuda/*.cu" "${PROJECT_SOURCE_DIR}/tests/cuda/*.cpp")
  else()
    file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/${folder}/*.cpp")
  endif()
  list(FILTER sources EXCLUDE REGEX "/tests/scan/thrust_host\\.cpp$")
  if(SDLORA_TEST_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "/tests/(${SDLORA_TEST_EXCLUDE})\\.(cpp|cu)$")
  endif()
  if(NOT sources)
    return()
  endif()
  sdlora_add_test(${folder} ${sources})
  # What reads foreign files is checked for all. Elsewhere these two take a third of the compiler's time, and a null
  # pointer or a misaligned vector ends the program without them as well.
  if(SDLORA_SANITIZE AND NOT folder STREQUAL "io")
    target_compile_options(test_${folder} PRIVATE -fno-sanitize=null,alignment)
  endif()
endfunction()

foreach(folder IN ITEMS tensor scan adapters layers model io training programs)
  sdlora_add_test_folder(${folder})
endforeach()
# Thrust's host systems, a program for each: they give the same functions other bodies. Thrust comes with CUDA.
find_path(SDLORA_thrust_INCLUDE thrust/scan.h HINTS ${CUDAToolkit_INCLUDE_DIRS} PATHS /usr/local/cuda/include
          PATH_SUFFIXES cccl)
mark_as_advanced(SDLORA_thrust_INCLUDE)
find_package(OpenMP COMPONENTS CXX QUIET)
set(thrust_systems CPP)
if(OpenMP_CXX_FOUND)
  list(APPEND thrust_systems OMP)
endif()
foreach(system IN LISTS thrust_systems)
  string(TOLOWER "thrust_host_${system}" name)
  sdlora_add_test(${name} "${PROJECT_SOURCE_DIR}/tests/scan/thrust_host.cpp")
  target_compile_definitions(test_${name} PRIVATE THRUST_HOST_SYSTEM=THRUST_HOST_SYSTEM_${system}
                                                  THRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_CPP)
  if(SDLORA_thrust_INCLUDE)
    target_include_directories(test_${name} SYSTEM PRIVATE "${SDLORA_thrust_INCLUDE}")
  endif()
  if(system STREQUAL "OMP")
    target_link_libraries(test_${name} PRIVATE OpenMP::OpenMP_CXX)
  endif()
endforeach()
if(TARGET test_programs AND TARGET sdlora_examples_support)
  target_link_libraries(test_programs PRIVATE sdlora_examples_support)
endif()
if(TARGET test_programs AND TARGET examples)
  add_dependencies(test_programs examples)
endif()
if(TARGET test_programs AND TARGET scan_report)
  add_dependencies(test_programs scan_report)
  target_compile_definitions(test_programs PRIVATE SDLORA_TEST_SCAN_REPORT)
endif()
if(TARGET test_programs AND TARGET scan_report AND TARGET scan_variants AND TARGET custom_scan)
  add_dependencies(test_programs scan_variants)
  target_compile_definitions(test_programs PRIVATE SDLORA_TEST_SCAN_VARIANTS)
endif()
if(SDLORA_WITH_CUDA)
  sdlora_add_test_folder(cuda)
endif()

# The checks: scripts, run one after another, each spread over the cores by itself.
set(checks_environment
    "CXX=${CMAKE_CXX_COMPILER}" "SDLORA_CHECK_DIR=${PROJECT_BINARY_DIR}/checks" "CMAKE=${CMAKE_COMMAND}")
# Where the dependencies' headers lie, a folder a line, for the scripts that call a compiler themselves.
file(GENERATE OUTPUT "${PROJECT_BINARY_DIR}/checks/include_folders"
     CONTENT "$<JOIN:$<TARGET_PROPERTY:test_main,INCLUDE_DIRECTORIES>,\n>\n" TARGET test_main)

# Further arguments are the script's, and part of the test's name.
function(sdlora_add_check name timeout)
  list(JOIN ARGN "." suffix)
  set(test check.${name})
  if(ARGN)
    string(APPEND test ".${suffix}")
  endif()
  add_test(NAME ${test} COMMAND bash "${PROJECT_SOURCE_DIR}/tests/checks/${name}.sh" ${ARGN}
           WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(${test} PROPERTIES LABELS check TIMEOUT ${timeout} RUN_SERIAL ON SKIP_RETURN_CODE 77
                                                ENVIRONMENT "${checks_environment}")
endfunction()

if(NOT SDLORA_SANITIZE)
  sdlora_add_check(contents 60)
  sdlora_add_check(includes 60)
  sdlora_add_check(umbrellas 60)
  sdlora_add_check(tested 60)
  sdlora_add_check(scan_comments 60)
  sdlora_add_check(format 120)
  sdlora_add_check(headers 900)
  sdlora_add_check(clang 900)
  sdlora_add_check(linked_twice 300)
  sdlora_add_check(instruction_sets 900 x86-64-v3)
  sdlora_add_check(instruction_sets 900 aarch64)
  sdlora_add_check(readme 300)
  sdlora_add_check(gpu_script 120)
  sdlora_add_check(compile_fail 900)
  sdlora_add_check(compile_time 300)
  sdlora_add_check(consumer 600)
  sdlora_add_check(tidy 600)
  if(SDLORA_WITH_CUDA)
    sdlora_add_check(cuda_units 600)
  endif()
  sdlora_add_check(registers 600)
endif()
