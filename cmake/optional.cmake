# What headers outside of <sdlora/sdlora.hpp> need; read by the build and, installed, by find_package(sdlora).
#   sdlora::text      PCRE2 (8 bit) and utf8proc, for sdlora/io/bpe_tokenizer.hpp; defines SDLORA_WITH_TEXT
#   sdlora::gzip      zlib, for sdlora/io/gzip.hpp; defines SDLORA_WITH_GZIP
#   sdlora::onednn    oneDNN, for sdlora/tensor/onednn.hpp; defines SDLORA_WITH_ONEDNN
#   sdlora::cublaslt  cuBLASLt, for sdlora/tensor/cuda/cublaslt.cuh, where the project has the language CUDA; defines
#                     SDLORA_WITH_CUBLASLT
# They are there where their libraries are. No header looks at the definitions: they are for programs that do with or without.

# sdlora_find_optional(<target> <definition> [<header> <library>]…)
function(sdlora_find_optional target definition)
  if(TARGET ${target})
    return()
  endif()
  set(folders "")
  set(libraries "")
  while(ARGN)
    list(POP_FRONT ARGN header library)
    string(MAKE_C_IDENTIFIER "SDLORA_${library}" name)
    find_path(${name}_INCLUDE ${header})
    find_library(${name}_LIBRARY ${library})
    mark_as_advanced(${name}_INCLUDE ${name}_LIBRARY)
    if(NOT ${name}_INCLUDE OR NOT ${name}_LIBRARY)
      return()
    endif()
    list(APPEND folders "${${name}_INCLUDE}")
    list(APPEND libraries "${${name}_LIBRARY}")
  endwhile()
  list(REMOVE_DUPLICATES folders)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} INTERFACE ${folders})
  target_link_libraries(${target} INTERFACE ${libraries})
  target_compile_definitions(${target} INTERFACE ${definition})
endfunction()

sdlora_find_optional(sdlora::text SDLORA_WITH_TEXT pcre2.h pcre2-8 utf8proc.h utf8proc)
sdlora_find_optional(sdlora::gzip SDLORA_WITH_GZIP zlib.h z)
# Not by oneDNN's own CMake package: Debian's asks for OpenCL, and for OpenMP with options that would then act on Eigen.
find_path(SDLORA_dnnl_INCLUDE dnnl.hpp)
mark_as_advanced(SDLORA_dnnl_INCLUDE)
set(sdlora_onednn_lines "")
foreach(file IN ITEMS config version)
  if(SDLORA_dnnl_INCLUDE AND EXISTS "${SDLORA_dnnl_INCLUDE}/oneapi/dnnl/dnnl_${file}.h")
    file(STRINGS "${SDLORA_dnnl_INCLUDE}/oneapi/dnnl/dnnl_${file}.h" lines REGEX "^#define DNNL_(CPU_THREADING|VERSION)_")
    list(APPEND sdlora_onednn_lines ${lines})
  endif()
endforeach()
# Version 2, and not one that starts threads which sdlora cannot keep from it.
if("#define DNNL_VERSION_MAJOR 2" IN_LIST sdlora_onednn_lines AND
   sdlora_onednn_lines MATCHES "DNNL_CPU_THREADING_RUNTIME DNNL_RUNTIME_(OMP|SEQ)")
  sdlora_find_optional(sdlora::onednn SDLORA_WITH_ONEDNN dnnl.hpp dnnl)
endif()
if(TARGET sdlora::onednn AND CMAKE_DL_LIBS)
  set_property(TARGET sdlora::onednn APPEND PROPERTY INTERFACE_LINK_LIBRARIES ${CMAKE_DL_LIBS})
endif()
# The toolkit's, or that of a folder in CMAKE_PREFIX_PATH, which may lack the name without a version (NVIDIA's Python packages).
get_property(sdlora_languages GLOBAL PROPERTY ENABLED_LANGUAGES)
if("CUDA" IN_LIST sdlora_languages)
  find_package(CUDAToolkit QUIET)
  find_path(SDLORA_cublasLt_INCLUDE cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(SDLORA_cublasLt_LIBRARY NAMES cublasLt libcublasLt.so.13 libcublasLt.so.12 HINTS ${CUDAToolkit_LIBRARY_DIR})
  sdlora_find_optional(sdlora::cublaslt SDLORA_WITH_CUBLASLT cublasLt.h cublasLt)
endif()

# Which headers need them, and tests of the same names: a regular expression on the path without its ending.
set(sdlora_text_files "io/(bpe_tokenizer|detail/(added_tokens|gpt2_pattern|pre_tokenizer|split_pattern|unicode_text))")
set(sdlora_gzip_files "io/gzip")
set(sdlora_onednn_files "tensor/onednn")
set(sdlora_cublaslt_files "cuda/cublaslt")

# Takes from a list of headers or tests those whose libraries are missing.
function(sdlora_without_missing list)
  foreach(what IN ITEMS text gzip onednn cublaslt)
    if(NOT TARGET sdlora::${what})
      list(FILTER ${list} EXCLUDE REGEX "/${sdlora_${what}_files}\\.[a-z]+$")
    endif()
  endforeach()
  set(${list} "${${list}}" PARENT_SCOPE)
endfunction()

# All but cuBLASLt, which few programs want and which is large.
function(sdlora_link_optional target visibility)
  target_link_libraries(${target} ${visibility} $<TARGET_NAME_IF_EXISTS:sdlora::text> $<TARGET_NAME_IF_EXISTS:sdlora::gzip>
                        $<TARGET_NAME_IF_EXISTS:sdlora::onednn>)
endfunction()
