# One executable per folder of tests, test_<folder>, from tests/<folder>/**.cpp; the target `tests` builds them all,
# `tests_quick` and `tests_standard` those of a tier.
# Sources that compile models of many types are executables of their own, so that the quick tier does without them:
# test_<folder>_reference of the tier standard, which compares with PyTorch's values, and test_<folder>_thorough for --all.
# SDLORA_TEST_OPTIMIZED are the folders whose tests --all compiles as users compile, without SDLORA_TEST_FLAGS, instead of those
# of the quick tier: test_<folder>_optimized, all sources of the folder. `tests` does without what they replace.
# SDLORA_TEST_EXCLUDE leaves sources out: under the sanitizers, those that take minutes to compile or to run while
# their loops run in other tests too. Their syntax is checked.
# Labels: unit and the folder's name, or check, for the scripts of tests/checks; and the tiers of `./run test` to which a
# test belongs: quick, standard. What has neither runs with --all, which leaves out what is labelled replaced.
include(warnings)
include(sanitizers)
include(thrust)

sdlora_find_headers(doctest doctest::doctest doctest/doctest.h)
if(NOT doctest_FOUND)
  message(FATAL_ERROR "the tests need doctest (Debian: apt-get install doctest-dev); "
                      "-DSDLORA_BUILD_TESTS=OFF does without them")
endif()

set(reference_sources "model/reference_.*")
string(JOIN "|" thorough_sources
       "scan/selective/(fused_segments|kernel_gradients|segments|selective_scan_devices)"
       "model/(biases|devices|falcon_mamba|gradients_.*|kernel_sizes|methods(_.*)?|packing|run_time_sizes|scans)"
       "model/stored_weights"
       "io/(adapter_presets|peft_adapter|peft_export)"
       "programs/(bench|cuda_examples|scan_report)"
       "training/(model_choices|model_maker|snippet)")

function(sdlora_configure_test target)
  target_link_libraries(${target} PRIVATE sdlora::sdlora doctest::doctest)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests" "${PROJECT_SOURCE_DIR}/examples")
  target_compile_definitions(${target} PRIVATE SDLORA_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                               SDLORA_BUILD_DIR="${PROJECT_BINARY_DIR}")
  sdlora_link_optional(${target} PRIVATE)
  sdlora_set_warnings(${target})
  sdlora_set_sanitizers(${target})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # A tenth of a unit's time would go into collecting what little it leaves unused.
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:SHELL:--param ggc-min-heapsize=524288>")
  endif()
endfunction()

# The labels of what belongs to `tier`.
function(sdlora_tiers variable tier)
  set(tiers_quick quick standard)
  set(tiers_standard standard)
  set(tiers_all "")
  set(tiers_replaced quick standard replaced)
  set(${variable} ${tiers_${tier}} PARENT_SCOPE)
endfunction()

add_custom_target(tests)
add_custom_target(tests_standard)
add_custom_target(tests_quick)
add_dependencies(tests_standard tests_quick)

# What most units include and what is no part of the library: read once for all targets of the same options. A target named
# <name>; `flags` are options of its sources beside those of all tests.
function(sdlora_add_precompiled name flags)
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/${name}.cpp" CONTENT "")
  add_library(${name} OBJECT "${PROJECT_BINARY_DIR}/${name}.cpp")
  sdlora_configure_test(${name})
  target_compile_options(${name} PRIVATE ${flags})
  target_precompile_headers(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests/support/precompiled.hpp")
endfunction()
sdlora_add_precompiled(test_precompiled "${SDLORA_TEST_FLAGS}")
set(optimized_flags "")
# What -O3 adds to GCC 12's view of `"text" + string` (PR 105651): strings of 2^63 characters. At -Og both warnings are on.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  set(optimized_flags -Wno-array-bounds -Wno-stringop-overflow)
endif()
if(SDLORA_TEST_OPTIMIZED)
  sdlora_add_precompiled(test_precompiled_optimized "${optimized_flags}")
endif()

# What models share is compiled here once, without SDLORA_TEST_FLAGS: as users compile it.
add_library(test_main OBJECT "${PROJECT_SOURCE_DIR}/tests/main.cpp" "${PROJECT_SOURCE_DIR}/tests/support/instances.cpp")
sdlora_configure_test(test_main)

# The test `name` of `tier` (quick, standard or all; replaced is quick, and not in `tests`), an executable test_<name> of these sources, compiled with `flags`.
function(sdlora_add_test name tier flags)
  set(target test_${name})
  add_executable(${target} EXCLUDE_FROM_ALL ${ARGN})
  target_link_libraries(${target} PRIVATE test_main)
  sdlora_configure_test(${target})
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${flags}>)
  foreach(flag IN LISTS flags)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${flag}>)
  endforeach()
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  add_test(NAME ${name} COMMAND ${target} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set(timeout 600)
  if(SDLORA_SANITIZE)
    set(timeout 1800)
  endif()
  sdlora_tiers(tiers ${tier})
  if(NOT tier STREQUAL "replaced")
    add_dependencies(tests ${target})
  endif()
  foreach(part IN ITEMS standard quick)
    if(part IN_LIST tiers)
      add_dependencies(tests_${part} ${target})
    endif()
  endforeach()
  # 77: nothing failed, but something was left out: for want of a device (tests/support/device.hpp), or of Thrust.
  set_tests_properties(${name} PROPERTIES LABELS "unit;${name};${tiers}" TIMEOUT ${timeout} SKIP_RETURN_CODE 77)
endfunction()

# Takes tests of programs that are not built from a list.
function(sdlora_without_programs list)
  set(bench_programs scan_variants custom_scan)
  set(cuda_examples_programs 06_gpu custom_cuda_scan)
  set(scan_report_programs scan_report)
  foreach(test IN ITEMS bench cuda_examples scan_report)
    foreach(program IN LISTS ${test}_programs)
      if(NOT TARGET ${program} OR (test STREQUAL "cuda_examples" AND NOT SDLORA_BUILD_CUDA))
        list(FILTER ${list} EXCLUDE REGEX "/tests/programs/${test}\\.cpp$")
      endif()
    endforeach()
  endforeach()
  set(${list} "${${list}}" PARENT_SCOPE)
endfunction()

set(excluded_sources "")
function(sdlora_add_test_folder folder tier)
  if(folder STREQUAL "cuda")
    file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/cuda/*.cu" "${PROJECT_SOURCE_DIR}/tests/cuda/*.cpp")
  else()
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/${folder}/*.cpp")
  endif()
  list(FILTER sources EXCLUDE REGEX "/tests/scan/menu/thrust_host\\.cpp$")
  sdlora_without_programs(sources)
  sdlora_without_missing(sources)
  if(SDLORA_TEST_EXCLUDE)
    set(left_out ${sources})
    list(FILTER sources EXCLUDE REGEX "/tests/(${SDLORA_TEST_EXCLUDE})\\.(cpp|cu)$")
    list(FILTER left_out INCLUDE REGEX "/tests/(${SDLORA_TEST_EXCLUDE})\\.(cpp|cu)$")
    set(excluded_sources ${excluded_sources} ${left_out} PARENT_SCOPE)
  endif()
  if(folder STREQUAL "cuda")
    sdlora_add_test(cuda ${tier} "${SDLORA_TEST_FLAGS}" ${sources})
    target_link_libraries(test_cuda PRIVATE $<TARGET_NAME_IF_EXISTS:sdlora::cublaslt>)
    return()
  endif()
  set(optimized "")
  if(folder IN_LIST SDLORA_TEST_OPTIMIZED)
    set(optimized ${sources})
    set(tier replaced)
  endif()
  set(common ${sources})
  foreach(part IN ITEMS reference thorough)
    set(${part} ${sources})
    list(FILTER ${part} INCLUDE REGEX "/tests/(${${part}_sources})\\.cpp$")
    list(FILTER common EXCLUDE REGEX "/tests/(${${part}_sources})\\.cpp$")
  endforeach()
  set(parts common "${folder}" ${tier} reference "${folder}_reference" standard thorough "${folder}_thorough" all)
  while(parts)
    list(POP_FRONT parts part name part_tier)
    if(${part} AND NOT (optimized AND part_tier STREQUAL "all"))
      sdlora_add_test(${name} ${part_tier} "${SDLORA_TEST_FLAGS}" ${${part}})
      target_precompile_headers(test_${name} REUSE_FROM test_precompiled)
    endif()
  endwhile()
  if(optimized)
    sdlora_add_test(${folder}_optimized all "${optimized_flags}" ${optimized})
    target_precompile_headers(test_${folder}_optimized REUSE_FROM test_precompiled_optimized)
  endif()
endfunction()

if(NOT TARGET sdlora::onednn)
  message(STATUS "tests of oneDNN's products are left out: oneDNN was not found (Debian: libdnnl-dev)")
endif()
foreach(folder IN ITEMS tensor scan adapters layers model io training)
  sdlora_add_test_folder(${folder} quick)
endforeach()
sdlora_add_test_folder(programs standard)
# Thrust's host systems, a program for each: they give the same functions other bodies.
find_package(OpenMP COMPONENTS CXX QUIET)
set(thrust_systems CPP)
if(OpenMP_CXX_FOUND)
  list(APPEND thrust_systems OMP)
endif()
if(SDLORA_SANITIZE)
  list(APPEND excluded_sources "${PROJECT_SOURCE_DIR}/tests/scan/menu/thrust_host.cpp")
  set(thrust_systems "")
endif()
foreach(system IN LISTS thrust_systems)
  string(TOLOWER "thrust_host_${system}" name)
  sdlora_add_test(${name} standard "${SDLORA_TEST_FLAGS}" "${PROJECT_SOURCE_DIR}/tests/scan/menu/thrust_host.cpp")
  target_link_libraries(test_${name} PRIVATE sdlora_thrust)
  target_compile_definitions(test_${name} PRIVATE THRUST_HOST_SYSTEM=THRUST_HOST_SYSTEM_${system})
  if(system STREQUAL "OMP")
    target_link_libraries(test_${name} PRIVATE OpenMP::OpenMP_CXX)
  endif()
endforeach()
if(TARGET test_programs AND TARGET sdlora_examples_support)
  target_link_libraries(test_programs PRIVATE sdlora_examples_support)
endif()
if(TARGET test_programs AND TARGET examples_host)
  add_dependencies(test_programs examples_host)
endif()
if(TARGET test_programs_thorough)
  foreach(target IN ITEMS examples bench)
    if(TARGET ${target})
      add_dependencies(test_programs_thorough ${target})
    endif()
  endforeach()
endif()
if(SDLORA_WITH_CUDA)
  if(NOT TARGET sdlora::cublaslt)
    message(STATUS "tests of cuBLASLt's products are left out: cuBLASLt was not found, in the CUDA toolkit or CMAKE_PREFIX_PATH")
  endif()
  if(SDLORA_BUILD_CUDA)
    sdlora_add_test_folder(cuda all)
  else()
    add_test(NAME cuda COMMAND "${CMAKE_COMMAND}" -E echo "skipped: no device")
    set_tests_properties(cuda PROPERTIES LABELS "unit;cuda" SKIP_REGULAR_EXPRESSION "skipped: no device")
  endif()
endif()

# Where the dependencies' headers lie, a folder a line, for the scripts that call a compiler themselves.
file(GENERATE OUTPUT "${PROJECT_BINARY_DIR}/checks/include_folders"
     CONTENT "$<JOIN:$<TARGET_PROPERTY:test_main,INCLUDE_DIRECTORIES>,\n>\n" TARGET test_main)
set(checks_environment
    "CXX=${CMAKE_CXX_COMPILER}" "SDLORA_CHECK_DIR=${PROJECT_BINARY_DIR}/checks" "CMAKE=${CMAKE_COMMAND}")
if(SDLORA_cublasLt_INCLUDE)
  list(APPEND checks_environment "SDLORA_CUBLASLT_INCLUDE=${SDLORA_cublasLt_INCLUDE}")
endif()

# The check `name` of `tier`: tests/checks/<script>.sh, or <name>.sh. Checks run one after another, each spread over the
# cores by itself. Further arguments are the script's.
function(sdlora_add_check name tier timeout)
  cmake_parse_arguments(PARSE_ARGV 3 check "" "SCRIPT" "ARGUMENTS")
  if(NOT check_SCRIPT)
    set(check_SCRIPT ${name})
  endif()
  sdlora_tiers(tiers ${tier})
  add_test(NAME check.${name}
           COMMAND bash "${PROJECT_SOURCE_DIR}/tests/checks/${check_SCRIPT}.sh" ${check_ARGUMENTS}
           WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(check.${name} PROPERTIES LABELS "check;${tiers}" TIMEOUT ${timeout} RUN_SERIAL ON
                                                SKIP_RETURN_CODE 77 ENVIRONMENT "${checks_environment}")
endfunction()

# The check `name` of `tier` that builds the target check.<name>: what it compiled, it compiles again only after a change.
function(sdlora_add_target_check name tier timeout)
  sdlora_add_check(${name} ${tier} ${timeout} SCRIPT target ARGUMENTS check.${name})
endfunction()

include(checks)
