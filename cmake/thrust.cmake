# The target sdlora_thrust, for what includes sdlora/scan/menu/thrust_host.hpp: Thrust's folder where there is one (it comes
# with CUDA), and what lets a host compiler take it.
include_guard(GLOBAL)
find_path(SDLORA_thrust_INCLUDE thrust/scan.h HINTS ${CUDAToolkit_INCLUDE_DIRS} PATHS /usr/local/cuda/include
          PATH_SUFFIXES cccl)
mark_as_advanced(SDLORA_thrust_INCLUDE)
add_library(sdlora_thrust INTERFACE)
target_compile_definitions(sdlora_thrust INTERFACE THRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_CPP)
if(SDLORA_thrust_INCLUDE)
  target_include_directories(sdlora_thrust SYSTEM INTERFACE "${SDLORA_thrust_INCLUDE}")
endif()
