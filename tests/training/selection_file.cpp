#include <doctest/doctest.h>

#include <sdlora/training/selection_file.hpp>

#include "io/support.hpp"

#include <initializer_list>
#include <string>

using namespace sdlora;
using test::check_error;

namespace {

const Selection some{20, 16, {{{1, 7, 19}, {0, 15, 3, 4, 5, 6}}, {{0, 1, 2}, {0, 1, 2, 3, 4, 5}}}};

void check_refused(const std::string& text, std::initializer_list<std::string> parts) {
  const test::Folder folder;
  const auto path = folder.write("selection.json", text);
  check_error<FileError>([&] { read_selection(path, 20, 16); }, {path.string()});
  check_error<FileError>([&] { read_selection(path, 20, 16); }, parts);
}

std::string with(const std::string& selection) {
  return R"({"d_inner": 20, "d_state": 16, "selection": )" + selection + "}";
}

}  // namespace

TEST_CASE("selection file: comes back, and replaces the last one at once") {
  const test::Folder folder;
  write_selection(folder / "selection.json", {20, 16, {{{0}, {0}}}});
  write_selection(folder / "selection.json", some);
  CHECK(read_selection(folder / "selection.json", 20, 16) == some);
  CHECK(folder.entries() == 1);
  const Selection none{20, 16, {}};
  write_selection(folder / "none.json", none);
  CHECK(read_selection(folder / "none.json", 20, 16) == none);
}

TEST_CASE("selection file: of another base") {
  const test::Folder folder;
  write_selection(folder / "selection.json", some);
  check_error<FileError>([&] { read_selection(folder / "selection.json", 21, 16); },
                         {"selection.json", "field d_inner", "expected 21", "found 20", "base"});
  check_error<FileError>([&] { read_selection(folder / "selection.json", 20, 15); },
                         {"selection.json", "field d_state", "expected 15", "found 16"});
  check_error<FileError>([&] { read_selection(folder / "absent.json", 20, 16); }, {"absent.json"});
}

TEST_CASE("selection file: of another run") {
  const test::Folder folder;
  const auto path = folder / "selection.json";
  const RunIdentity run{{"base", "0123456789abcdef"}, {"learning_rate", "0.01"}, {"layers", "\"\\\n"}};
  write_selection(path, some, run);
  CHECK(read_selection(path, 20, 16, run) == some);
  CHECK(read_selection(path, 20, 16) == some);
  for (std::size_t i = 0; i < run.size(); ++i) {
    RunIdentity other = run;
    other[i].second = "0.5";
    check_error<FileError>([&] { read_selection(path, 20, 16, other); },
                           {path.string(), "field run." + run[i].first, "of a run with " + run[i].first,
                            "\"0.5\"", "resume with"});
  }
  check_error<FileError>([&] { read_selection(path, 20, 16, {{"seed", "3"}}); },
                         {"field run.seed", "missing"});
  // One that says nothing of its run.
  write_selection(path, some);
  check_error<FileError>([&] { read_selection(path, 20, 16, run); }, {"field run.base", "missing"});
  folder.write("selection.json", with(R"([{"channels": [1], "states": [0]}])"));
  check_error<FileError>([&] { read_selection(path, 20, 16, run); },
                         {path.string(), "field run", "missing", "remove the file"});
  folder.write("selection.json", R"({"d_inner": 20, "d_state": 16, "run": {"base": 3}, "selection": []})");
  check_error<FileError>([&] { read_selection(path, 20, 16, run); }, {"field run.base", "string"});
}

TEST_CASE("selection file: hostile ones") {
  check_refused("", {"found nothing"});
  check_refused("[]", {"object"});
  check_refused(R"({"d_inner": 20, "d_state": 16})", {"field selection", "list"});
  check_refused(R"({"d_inner": 20, "d_inner": 20, "d_state": 16, "selection": []})", {"d_inner", "twice"});
  check_refused(R"({"d_inner": 9223372036854775808, "d_state": 16, "selection": []})", {"field d_inner"});
  check_refused(with("{}"), {"field selection", "list"});
  check_refused(with("[7]"), {"selection[0]", "object"});
  check_refused(with("[{}]"), {"selection[0].channels", "missing"});
  check_refused(with(R"([{"channels": [1], "states": 3}])"), {"selection[0].states", "array"});
  check_refused(with(R"([{"channels": [-1], "states": [3]}])"), {"selection[0].channels[0]", "-1"});
  check_refused(with(R"([{"channels": [4294967296], "states": [3]}])"), {"selection[0].channels[0]"});
  check_refused(with(R"([{"channels": [20], "states": [3]}])"), {"selection", "layer 0", "below 20"});
  check_refused(with(R"([{"channels": [2], "states": [16]}])"), {"selection", "layer 0", "below 16"});
  check_refused(with(R"([{"channels": [2, 2], "states": [0, 0]}])"), {"layer 0", "ascending"});
  check_refused(with(R"([{"channels": [2, 3], "states": [0]}])"), {"layer 0", "multiple"});
  check_refused(with(R"([{"channels": [], "states": [0]}])"), {"layer 0"});
  check_refused(with(R"([{"channels": [1], "states": [0]}, {"channels": [], "states": []}])"), {"layer 1"});
  check_refused(with(std::string(1000, '[')), {"nested deeper"});
  const std::string good = with(R"([{"channels": [1], "states": [0]}])");
  for (std::size_t size = 0; size < good.size(); ++size) check_refused(good.substr(0, size), {});
}
