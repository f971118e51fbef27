# SDLORA_SANITIZE=address,undefined instruments our own programs and tests; the first finding ends a program.
# Not pointer-overflow: clang counts the offset into an absent matrix, whose pointer is null and never read, as one; g++,
# with which this ran before, does not.
function(sdlora_set_sanitizers target)
  if(SDLORA_SANITIZE)
    target_compile_options(
      ${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${SDLORA_SANITIZE};-fno-sanitize-recover=all;-fno-sanitize=pointer-overflow;-fno-omit-frame-pointer>)
    target_link_options(${target} PRIVATE -fsanitize=${SDLORA_SANITIZE})
    # As GCC has them by default: frames of its own for every fibre of the emulator would cost half of a run's time. The
    # definition is GCC's too; headers and tests look at it.
    if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND SDLORA_SANITIZE MATCHES "address")
      target_compile_options(
        ${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize-address-use-after-return=never>)
      target_compile_definitions(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:__SANITIZE_ADDRESS__=1>)
    endif()
  endif()
endfunction()
