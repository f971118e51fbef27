# The checks of tests/checks, and what they compile where that is worth keeping between runs.

# Every header compiles alone, for the compiler's own instruction set. Thrust is no dependency of the library;
# tests/scan/menu/thrust_host.cpp compiles what needs it.
function(sdlora_add_headers_alone name)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/include/*.hpp")
  list(FILTER headers EXCLUDE REGEX "/scan/menu/thrust_host\\.hpp$")
  sdlora_without_missing(headers)
  set(units "")
  foreach(header IN LISTS headers)
    string(REGEX REPLACE "\\.hpp$" ".cpp" unit "${PROJECT_BINARY_DIR}/${name}/${header}")
    file(CONFIGURE OUTPUT "${unit}" CONTENT "#include <${header}>\n")
    list(APPEND units "${unit}")
  endforeach()
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${units})
  target_link_libraries(${name} PRIVATE sdlora::sdlora)
  sdlora_set_warnings(${name})
  target_compile_options(${name} PRIVATE -O0)
  if(SDLORA_HAS_X86_64_V3)
    target_compile_options(${name} PRIVATE -march=x86-64)
  endif()
endfunction()

# A command of the target `name` that makes <name>/<unit>.passed when `COMMAND…` passes; it runs again when one of the headers
# changed that the command noted in <name>/<unit>.d.
function(sdlora_add_passing name unit)
  cmake_parse_arguments(PARSE_ARGV 2 passing "" "" "COMMAND;DEPENDS")
  set(made "${PROJECT_BINARY_DIR}/${name}/${unit}")
  get_filename_component(folder "${made}" DIRECTORY)
  file(MAKE_DIRECTORY "${folder}")
  add_custom_command(OUTPUT "${made}.passed" DEPENDS ${passing_DEPENDS} DEPFILE "${made}.d" VERBATIM COMMAND_EXPAND_LISTS
                     COMMAND ${passing_COMMAND} -MD -MF "${made}.d" -MT "${made}.passed"
                     COMMAND "${CMAKE_COMMAND}" -E touch "${made}.passed"
                     COMMENT "${name}: ${unit}")
  set_property(GLOBAL APPEND PROPERTY sdlora_passed_${name} "${made}.passed")
endfunction()
function(sdlora_add_passing_target name)
  get_property(passed GLOBAL PROPERTY sdlora_passed_${name})
  add_custom_target(${name} DEPENDS ${passed})
endfunction()

# Where the dependencies lie. The compiler's own folder is left out: named again it would hide the standard library.
string(REGEX REPLACE "([][+.*()^$?|\\\\])" "\\\\\\1" own_folders "${PROJECT_SOURCE_DIR}")
set(check_folders "$<FILTER:$<TARGET_PROPERTY:test_main,INCLUDE_DIRECTORIES>,EXCLUDE,^(${own_folders}/.*|/usr/include)$>")
set(check_options -std=c++20 -pthread "-I${PROJECT_SOURCE_DIR}/include"
                  "$<$<BOOL:${check_folders}>:-isystem$<JOIN:${check_folders},$<SEMICOLON>-isystem>>" ${SDLORA_WARNINGS})

# Compiles a header of these `includes` in advance for the units of the target `name`. Sets `variable` to the options that take
# it in and <variable>_made to what the units then depend on.
function(sdlora_add_check_header name variable includes)
  cmake_parse_arguments(PARSE_ARGV 3 header "" "" "OPTIONS")
  set(header "${PROJECT_BINARY_DIR}/${name}/precompiled.hpp")
  list(TRANSFORM includes PREPEND "#include <")
  list(TRANSFORM includes APPEND ">\n")
  list(JOIN includes "" text)
  file(CONFIGURE OUTPUT "${header}" CONTENT "${text}")
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    set(made "${header}.pch")
    set(${variable} -include-pch "${made}" -fpch-instantiate-templates PARENT_SCOPE)
    list(APPEND header_OPTIONS -fpch-instantiate-templates)
  else()
    set(made "${header}.gch")
    set(${variable} -include "${header}" PARENT_SCOPE)
  endif()
  set(${variable}_made "${made}" PARENT_SCOPE)
  add_custom_command(OUTPUT "${made}" DEPENDS "${header}" DEPFILE "${header}.d" VERBATIM COMMAND_EXPAND_LISTS
                     COMMAND "${CMAKE_CXX_COMPILER}" ${check_options} ${header_OPTIONS} -x c++-header "${header}" -o "${made}"
                             -MD -MF "${header}.d" -MT "${made}"
                     COMMENT "${name}: precompiled.hpp")
endfunction()

# What must not compile, tests/compile_fail/*.cpp: see tests/checks/compile_fail.sh.
function(sdlora_add_compile_fail name)
  file(GLOB cases CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/compile_fail/*.cpp")
  set(script "${PROJECT_SOURCE_DIR}/tests/checks/compile_fail.sh")
  set(includes algorithm cmath Eigen/Core functional map random span sstream string thread vector xsimd/xsimd.hpp)
  sdlora_add_check_header(${name} precompiled "${includes}" OPTIONS -O0)
  foreach(case IN LISTS cases)
    get_filename_component(unit "${case}" NAME_WE)
    sdlora_add_passing(${name} ${unit} DEPENDS "${case}" "${script}" "${precompiled_made}"
                       COMMAND bash "${script}" "${case}" "${CMAKE_CXX_COMPILER}" ${check_options} ${precompiled} -O0
                               -fsyntax-only)
  endforeach()
  sdlora_add_passing_target(${name})
endfunction()

# Sources of which this build compiles nothing give no warning with its compiler either. The library's headers are read, and
# what they instantiate is checked, once; what units instantiate, in each.
function(sdlora_add_syntax name)
  set(includes doctest/doctest.h filesystem functional map random sdlora/sdlora.hpp thread)
  sdlora_add_check_header(${name} precompiled "${includes}" OPTIONS -march=native)
  foreach(source IN LISTS ARGN)
    file(RELATIVE_PATH unit "${PROJECT_SOURCE_DIR}" "${source}")
    string(REGEX REPLACE "/.*$" "" folder "${unit}")
    set(folders "-I${PROJECT_SOURCE_DIR}/${folder}")
    if(folder STREQUAL "tests")
      list(APPEND folders "-I${PROJECT_SOURCE_DIR}/examples")
    endif()
    sdlora_add_passing(${name} ${unit} DEPENDS "${source}" "${precompiled_made}"
                       COMMAND "${CMAKE_CXX_COMPILER}" ${check_options} ${precompiled} ${folders} -march=native -fsyntax-only
                               "-DSDLORA_SOURCE_DIR=\".\"" "-DSDLORA_BUILD_DIR=\".\"" "${source}")
  endforeach()
  sdlora_add_passing_target(${name})
endfunction()

if(SDLORA_SANITIZE)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/examples/*.cpp" "${PROJECT_SOURCE_DIR}/bench/*.cpp")
  sdlora_add_syntax(check.syntax ${excluded_sources} ${sources})
  sdlora_add_target_check(syntax all 1200)
  return()
endif()

sdlora_add_check(contents standard 300)
sdlora_add_check(includes standard 300)
sdlora_add_check(umbrellas standard 300)
sdlora_add_check(tested standard 300)
sdlora_add_check(scan_comments standard 300)
sdlora_add_check(format standard 300)
sdlora_add_check(readme standard 900)
sdlora_add_compile_fail(check.compile_fail)
sdlora_add_target_check(compile_fail standard 900)

sdlora_add_headers_alone(check.headers)
sdlora_add_target_check(headers all 1200)
sdlora_add_check(reference all 300)
sdlora_add_check(linked_twice all 300)
sdlora_add_check(aarch64 all 900)
sdlora_add_check(bench_peers all 300)
sdlora_add_check(python_round_trip all 300)
sdlora_add_check(compile_time all 600)
sdlora_add_check(consumer all 900)
sdlora_add_check(tidy all 900)
include(fuzz)
if(SDLORA_WITH_CUDA)
  sdlora_add_check(cuda_units all 1200)
endif()
sdlora_add_check(registers all 900)
