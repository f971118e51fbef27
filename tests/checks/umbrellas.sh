# <sdlora/folder.hpp> lists every header of its folder (but detail/), <sdlora/sdlora.hpp> every folder, and
# <sdlora/cuda.cuh>, where there are .cuh headers, every one of those.
# With --write it brings the collections up to date instead.
source "$(dirname "$0")/common.sh"

if [[ ${1:-} == --write ]]; then
  for folder in "${folders[@]}"; do
    {
      printf '#pragma once\n\n// All of %s/.\n' "$folder"
      files "include/sdlora/$folder" | { grep '\.hpp$' || true; } | { grep -v /detail/ || true; } |
        sed 's,^include/sdlora/\(.*\)$,#include "\1",'
    } >"include/sdlora/$folder.hpp"
  done
  cuda=$(files include/sdlora | { grep '\.cuh$' || true; } | { grep -vE '/detail/|sdlora/cuda\.cuh$' || true; })
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

for folder in "${folders[@]}"; do
  lists sdlora.hpp "$folder.hpp"
  while IFS= read -r header; do
    [[ $header == */detail/* ]] || lists "$folder.hpp" "${header#include/sdlora/}"
  done < <(files "include/sdlora/$folder" | grep '\.hpp$' || true)
done
for root in error version; do lists sdlora.hpp "$root.hpp"; done
while IFS= read -r header; do
  path=${header#include/sdlora/}
  [[ $path == cuda.cuh || $path == */detail/* ]] || lists cuda.cuh "$path"
done < <(files include/sdlora | grep '\.cuh$' || true)
finish
