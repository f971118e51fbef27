#include "support.hpp"

#include <sdlora/io/run_identity.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

using namespace sdlora;
using test::check_error;

TEST_CASE("run identity: what differs is named, with both values and what to do") {
  std::map<std::string, std::string> file{{"base", "abc"}, {"groups", ""}, {"extra", "ignored"}};
  const RunIdentity run{{"base", "abc"}, {"groups", ""}};
  const auto check = [&](const RunIdentity& expected) {
    detail::require_same_run("some.file", "field run.", "selection", expected,
                             [&](const std::string& key) { return file.at(key); });
  };
  CHECK_NOTHROW(check(run));
  CHECK_NOTHROW(check({}));
  file["groups"] = "\x01";
  check_error<FileError>([&] { check(run); },
                         {"some.file", "field run.groups", "the selection is of a run with groups",
                          "this one has \"\"", "resume with the base, data and settings of that run"});
}

TEST_CASE("run identity: data are told apart by ids, labels, order and where examples end") {
  const std::vector<Example> data{{{1, 2, 3}, {1, 2, 3}}, {{4}, {4}}};
  const std::string text = detail::data_text(data);
  CHECK(text == "2 examples " + fingerprint_text(fingerprint(data)));
  auto other = data;
  CHECK(detail::data_text(other) == text);
  other[0].labels[0] = ignored_label;
  CHECK(detail::data_text(other) != text);
  other = data;
  other[0].ids[2] = 4;
  CHECK(detail::data_text(other) != text);
  other = {data[1], data[0]};
  CHECK(detail::data_text(other) != text);
  other = {{{1, 2}, {3, 1}}, {{2, 3}, {4, 4}}};
  CHECK(detail::data_text(other) != text);
}
