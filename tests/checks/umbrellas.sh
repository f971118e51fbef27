# <sdlora/folder.hpp> lists every header of its folder (but detail/), <sdlora/sdlora.hpp> every folder, and
# <sdlora/cuda.cuh>, where there are .cuh headers, every one of those.
source "$(dirname "$0")/common.sh"

lists() {  # UMBRELLA HEADER
  [[ -f include/sdlora/$1 ]] || { problem "include/sdlora/$1 is missing"; return 0; }
  grep -qxF "#include \"$2\"" "include/sdlora/$1" ||
    problem "include/sdlora/$1 lacks the line: #include \"$2\""
}

for folder in "${folders[@]}"; do
  lists sdlora.hpp "$folder.hpp"
  while IFS= read -r header; do
    [[ $header == */detail/* ]] || lists "$folder.hpp" "${header#include/sdlora/}"
  done < <(files "include/sdlora/$folder" | grep '\.hpp$' || true)
done
for root in config error version; do lists sdlora.hpp "$root.hpp"; done
while IFS= read -r header; do
  path=${header#include/sdlora/}
  [[ $path == cuda.cuh || $path == */detail/* ]] || lists cuda.cuh "$path"
done < <(files include/sdlora | grep '\.cuh$' || true)
finish
