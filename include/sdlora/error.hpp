#pragma once

#include "version.hpp"

#include <stdexcept>
#include <string>

namespace sdlora {

/// Base of every exception that the library throws. The text says what was expected, what was
/// found, where, and what to do.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Extents that do not fit together.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// An argument outside of what a function or program accepts.
class ArgumentError : public Error {
 public:
  using Error::Error;
};

/// A file that is missing, unreadable, unwritable, or whose content is not what it must be.
class FileError : public Error {
 public:
  /// `place` is where inside the file (a key, a line, a byte range); it may be empty.
  FileError(const std::string& path, const std::string& place, const std::string& what)
      : Error(path + (place.empty() ? "" : ": " + place) + ": " + what) {}
};

}  // namespace sdlora
