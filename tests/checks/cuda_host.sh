# The headers of tensor/ and scan/ compile as host code of a CUDA unit.
source "$(dirname "$0")/common.sh"

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
[[ -x $nvcc ]] || skip "no nvcc"
for folder in tensor scan; do
  printf '#include <sdlora/%s.hpp>\nint main() { return 0; }\n' "$folder" >"$scratch/$folder.cu"
  "$nvcc" -std=c++20 -arch=sm_90 --expt-relaxed-constexpr -ccbin "$CXX" -Iinclude "${dependencies[@]}" \
    -Werror=all-warnings -c "$scratch/$folder.cu" -o "$scratch/$folder.o" ||
    problem "<sdlora/$folder.hpp> does not compile without warnings under nvcc"
done
finish
