# <sdlora/folder.hpp> lists every header of its folder (but detail/), <sdlora/sdlora.hpp> every folder, and
# <sdlora/cuda.cuh>, where there are .cuh headers, every one of those. What asks for more than the library does is
# left to those who include it by its name. Each collection refuses an older standard with a sentence.
# With --write it brings the collections up to date instead.
source "$(dirname "$0")/common.sh"

# <ucontext.h>, which not every system has; Thrust; PCRE2 and utf8proc; zlib; oneDNN; cuBLASLt; Eigen's unsupported FFT.
alone='^include/sdlora/(tensor/cuda/cublaslt\.cuh|(tensor/emulator|tensor/emulated|tensor/onednn|scan/menu/thrust_host|layers/s4d/convolution|io/bpe_tokenizer|io/chat_template|io/gzip|io/peft_adapter|io/peft_config|io/peft_export)\.hpp)$'
collected() { files "include/sdlora/$1" | { grep '\.hpp$' || true; } | { grep -vE "/detail/|$alone" || true; }; }

if [[ ${1:-} == --write ]]; then
  for folder in "${folders[@]}"; do
    {
      printf '#pragma once\n\n'
      # The calls of a scan take views, of what somebody has to own. Not all of tensor/: scans do without Eigen.
      if [[ $folder == scan ]]; then printf '#include "tensor/tensor.hpp"\n'; fi
      printf '#include "version.hpp"\n\n// All of %s/.\n' "$folder"
      collected "$folder" | sed 's,^include/sdlora/\(.*\)$,#include "\1",'
    } >"include/sdlora/$folder.hpp"
  done
  cuda=$(files include/sdlora | { grep '\.cuh$' || true; } | { grep -vE "/detail/|sdlora/cuda\.cuh$|$alone" || true; })
  if [[ -n $cuda ]]; then
    {
      printf '#pragma once\n\n// All that needs nvcc.\n'
      sed 's,^include/sdlora/\(.*\)$,#include "\1",' <<<"$cuda"
    } >include/sdlora/cuda.cuh
  fi
  exit 0
fi

lists() {  # UMBRELLA HEADER
  [[ -f include/sdlora/$1 ]] || { problem "include/sdlora/$1 is missing"; return 0; }
  grep -qxF "#include \"$2\"" "include/sdlora/$1" ||
    problem "include/sdlora/$1 lacks the line: #include \"$2\" (bash tests/checks/umbrellas.sh --write adds it)"
}

lists scan.hpp tensor/tensor.hpp
for folder in "${folders[@]}"; do
  lists sdlora.hpp "$folder.hpp"
  lists "$folder.hpp" version.hpp
  while IFS= read -r header; do
    lists "$folder.hpp" "${header#include/sdlora/}"
  done < <(collected "$folder")
done
while IFS= read -r header; do
  path=${header#include/sdlora/}
  ! grep -rnF "#include \"$path\"" include/sdlora/*.hpp || problem "$header is no part of a collection"
done < <(files include/sdlora | grep -E "$alone" || true)
for root in error version; do lists sdlora.hpp "$root.hpp"; done
while IFS= read -r header; do
  path=${header#include/sdlora/}
  [[ $path == cuda.cuh || $path == */detail/* || $header =~ $alone ]] || lists cuda.cuh "$path"
done < <(files include/sdlora | grep '\.cuh$' || true)
# Whoever compiles for an older standard is told so, first of all.
for collection in sdlora "${folders[@]}"; do
  said=$("$CXX" -std=c++17 -Iinclude "${dependencies[@]}" -E "include/sdlora/$collection.hpp" 2>&1 >/dev/null || true)
  [[ $(grep -m 1 'error:' <<<"$said") == *"sdlora needs C++20"* ]] ||
    problem "include/sdlora/$collection.hpp: says nothing of C++20 under -std=c++17, or not first; see version.hpp"
done
finish
