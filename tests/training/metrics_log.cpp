#include <doctest/doctest.h>

#include <sdlora/training/metrics_log.hpp>

#include "io/support.hpp"

#include <limits>

using namespace sdlora;

TEST_CASE("one object of numbers a line, in the file at once") {
  const test::Folder folder;
  MetricsLog log(folder / "log.jsonl");
  log.write(1, {{"loss", 0.1}, {"rate", 1e-5}});
  CHECK(test::content(folder / "log.jsonl") == "{\"step\": 1, \"loss\": 0.1, \"rate\": 1e-05}\n");
  log.write(2, {{"loss", std::numeric_limits<double>::quiet_NaN()}, {"count", 3.0}});
  CHECK(test::content(folder / "log.jsonl") ==
        "{\"step\": 1, \"loss\": 0.1, \"rate\": 1e-05}\n{\"step\": 2, \"loss\": null, \"count\": 3}\n");
}

TEST_CASE("a new run begins a new log; one that goes on keeps the lines up to its step") {
  const test::Folder folder;
  const auto path = folder / "log.jsonl";
  folder.write("log.jsonl",
               "{\"step\": 1, \"loss\": 3}\n{\"step\": 2, \"loss\": 2}\n{\"step\": 10, \"loss\": 1}\nodd\n"
               "{\"step\": 2, \"cut off in the mid");
  {
    MetricsLog log(path, 2);
    log.write(3, {{"loss", 1.5}});
  }
  const std::string kept =
      "{\"step\": 1, \"loss\": 3}\n{\"step\": 2, \"loss\": 2}\n{\"step\": 3, \"loss\": 1.5}\n";
  CHECK(test::content(path) == kept);
  {
    MetricsLog log(path);
  }
  CHECK(test::content(path).empty());
  {
    MetricsLog log(folder / "new.jsonl", 5);
  }
  CHECK(test::content(folder / "new.jsonl").empty());
}

TEST_CASE("without a path nothing is written; a folder that is missing is an error") {
  MetricsLog().write(1, {{"loss", 1.0}});
  MetricsLog(std::filesystem::path{}).write(1, {{"loss", 1.0}});
  const test::Folder folder;
  test::check_error<FileError>([&] { MetricsLog log(folder / "missing" / "log.jsonl"); },
                               {"log.jsonl", "folder"});
}
