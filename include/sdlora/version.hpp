#pragma once

// The one source of the version: CMake reads these three lines.
#define SDLORA_VERSION_MAJOR 0
#define SDLORA_VERSION_MINOR 1
#define SDLORA_VERSION_PATCH 0

#if !defined(__cplusplus) || __cplusplus < 202002L
#error "sdlora needs C++20: compile with -std=c++20, or link sdlora::sdlora in CMake, which asks for it"
#endif
