# Warnings, as errors, for our own programs and tests; users of the headers choose their own.
set(SDLORA_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

function(sdlora_set_warnings target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${SDLORA_WARNINGS}>)
  # GCC 12 takes values inside of its own AVX-512 intrinsics for uninitialised (gcc.gnu.org PR 105593).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-uninitialized>
                                             $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
  endif()
  # Nor does it see that `"text" + string` cannot overlap (PR 105651).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(
      ${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>
                        "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xcompiler=-Wno-restrict,-Wno-maybe-uninitialized>")
  endif()
  # -Wpedantic and -Wconversion trip over what nvcc generates for the host compiler.
  target_compile_options(
    ${target} PRIVATE $<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Werror=all-warnings -Xcompiler=-Wall,-Wextra>)
endfunction()
