#pragma once

// All of model/.
#include "model/example.hpp"
