#pragma once

#include <filesystem>
#include <sdlora/adapters/selection.hpp>
#include <sdlora/io/atomic_file.hpp>
#include <sdlora/layers/mamba/config.hpp>
#include <sdlora/training/selection_file.hpp>

namespace sdlora::examples {

/// The selection in `file` if a run resumes and there is one, which must be of `run`; else what `select`
/// gives, kept there.
template <class Select>
Selection select_or_read(const std::filesystem::path& file, bool resume, const MambaDimensions& m,
                         const RunIdentity& run, const Select& select) {
  if (resume && std::filesystem::exists(file)) return read_selection(file, m.d_inner, m.d_state, run);
  const Selection selection = select();
  make_directories(file.parent_path());
  write_selection(file, selection, run);
  return selection;
}

}  // namespace sdlora::examples
