#pragma once

// What most sources of this folder include, read once for all of them.
#include <sdlora/training/model_maker.hpp>

#include "instances.hpp"
