#pragma once

// What most test units include and what is no part of the library: read once for all of them. Units still
// include what they use; the clang build does without this file.

#include <doctest/doctest.h>
#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>
#include <xsimd/xsimd.hpp>
