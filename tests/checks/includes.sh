# Includes point one way: tensor → scan → adapters → layers → model → io → training; root headers lie below all.
# No cycles; detail/ belongs to its folder; a .hpp needs no CUDA; third-party headers are the ones agreed on.
source "$(dirname "$0")/common.sh"

declare -A rank=()
for i in "${!folders[@]}"; do rank[${folders[i]}]=$((i + 1)); done

# The folder of a header: tensor … training, `root` for error, setting, text and version, `umbrella` for the collections.
folder_of() {
  local path=${1#include/sdlora/}
  case $path in
    */*) echo "${path%%/*}" ;;
    error.hpp | setting.hpp | text.hpp | version.hpp) echo root ;;
    *) echo umbrella ;;
  esac
}

edges=$scratch/edges
: >"$edges"
while IFS= read -r header; do
  folder=$(folder_of "$header")
  if [[ $folder != root && $folder != umbrella && -z ${rank[$folder]:-} ]]; then
    problem "$header: '$folder' is not one of the folders ${folders[*]}"
    continue
  fi
  head -n 20 "$header" | grep -q '^#pragma once$' || problem "$header: lacks #pragma once"
  line=0
  while IFS= read -r text; do
    line=${text%%:*}
    include=$(sed -E 's/^[0-9]+: *# *include *//; s/[[:space:]]*(\/\/.*)?$//' <<<"$text")
    where="$header:$line"
    case $include in
      \"*\")
        target=$(realpath -m --relative-to=. "$(dirname "$header")/${include//\"/}")
        if [[ ! -f $target ]]; then problem "$where: $include is not a file of the library"; continue; fi
        printf '%s %s\n' "$header" "$target" >>"$edges"
        to=$(folder_of "$target")
        if [[ $header == *.hpp && $target == *.cuh ]]; then
          problem "$where: a .hpp must compile without CUDA and may not include $include"
        fi
        if [[ $folder == umbrella ]]; then continue; fi
        if [[ $to == umbrella ]]; then
          problem "$where: $include is a collection; include the headers that are needed"
        elif [[ $to == root ]]; then
          continue
        elif [[ $folder == root ]]; then
          problem "$where: a root header lies below all folders and may not include $include"
        elif ((${rank[$to]} > ${rank[$folder]})); then
          problem "$where: $folder/ may not include $include: $to/ comes after it"
        elif [[ $target == */detail/* && $to != "$folder" ]]; then
          problem "$where: $include belongs to $to/; include what $to/ offers instead"
        fi
        ;;
      \<sdlora/*) problem "$where: within the library includes are relative: \"../folder/name.hpp\"" ;;
      \<nlohmann/*)
        [[ $folder == io || $folder == training ]] || problem "$where: JSON is for io/ alone" ;;
      \<Eigen/* | \<xsimd/* | \<unistd.h\> | \<fcntl.h\> | \<sys/* | \<sanitizer/* | \<pthread.h\> | \<sched.h\> | \<dirent.h\> | \<ucontext.h\> | \<cerrno\>) ;;
      \<unsupported/Eigen/FFT\>)
        [[ $header == */layers/s4d/convolution.hpp ]] || problem "$where: $include is for layers/s4d/convolution.hpp alone" ;;
      \<*/*)
        if [[ $header == *.cuh && $include =~ ^\<(cub|thrust|cuda)/ ]]; then continue; fi
        if [[ $header == */scan/menu/thrust_host.hpp && $include == \<thrust/* ]]; then continue; fi
        problem "$where: $include is not among the dependencies (Eigen, xsimd, nlohmann-json, PCRE2, utf8proc and zlib in io/; oneDNN in tensor/onednn.hpp; cub, thrust and cuda in .cuh)" ;;
      \<dnnl.hpp\> | \<dlfcn.h\>)
        [[ $header == */tensor/onednn.hpp ]] || problem "$where: $include is for tensor/onednn.hpp alone" ;;
      \<cublasLt.h\>)
        [[ $header == */tensor/cuda/cublaslt.cuh ]] || problem "$where: $include is for tensor/cuda/cublaslt.cuh alone" ;;
      \<pcre2.h\> | \<utf8proc.h\>)
        [[ $header == */io/detail/* ]] || problem "$where: $include is for io/bpe_tokenizer.hpp alone" ;;
      \<zlib.h\>)
        [[ $header == */io/gzip.hpp ]] || problem "$where: $include is for io/gzip.hpp alone" ;;
      \<*.h\> | \<*.hpp\> | \<*.cuh\>)
        if [[ $header == *.cuh || $include =~ ^\<(immintrin|arm_neon)\.h ]]; then continue; fi
        problem "$where: $include is neither of the standard library nor among the dependencies" ;;
    esac
  done < <(grep -nE '^ *# *include' "$header" || true)
done < <(files include/sdlora)

if ! cycles=$(tsort "$edges" 2>&1 >/dev/null) || [[ -n $cycles ]]; then
  problem "includes go in a circle: $cycles"
fi
finish "$(wc -l <"$edges") includes"
