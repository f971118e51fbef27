#pragma once

// The one source of the version: CMake reads these three lines.
#define SDLORA_VERSION_MAJOR 0
#define SDLORA_VERSION_MINOR 1
#define SDLORA_VERSION_PATCH 0
