# SDLORA_SANITIZE=address,undefined instruments our own programs and tests; the first finding ends a program.
function(sdlora_set_sanitizers target)
  if(SDLORA_SANITIZE)
    target_compile_options(
      ${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${SDLORA_SANITIZE};-fno-sanitize-recover=all;-fno-omit-frame-pointer>)
    target_link_options(${target} PRIVATE -fsanitize=${SDLORA_SANITIZE})
  endif()
endfunction()
