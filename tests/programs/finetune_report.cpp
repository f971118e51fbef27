#include "support.hpp"

#include <doctest/doctest.h>

#include <support/report.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace programs;
using sdlora::examples::report_page;
using sdlora::examples::RunReport;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++found;
  return found;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("report: texts are escaped, and nothing of the page lies elsewhere or runs") {
  const std::string hostile = "<script src=\"http://a\">&'\x01";
  RunReport report{.title = hostile,
                   .figures = {{hostile, hostile}},
                   .charts = {{hostile, {{hostile, {{1.0, 2.0}, {2.0, 1.0}}}, {hostile, {{1.0, 3.0}}}}}},
                   .selection = {},
                   .settings = {{hostile, hostile}}};
  const std::string page = report_page(report);
  CHECK(!has(page, "<script"));
  CHECK(has(page, "&lt;script src=&quot;http://a&quot;&gt;&amp;&#39;"));
  CHECK(!has(page, "\x01"));
  for (const char* part : {"<link", "<img", "@import", "url(", " src=\"", " href="}) {
    CAPTURE(part);
    CHECK(!has(page, part));
  }
  CHECK(has(page, "prefers-color-scheme: dark"));
  CHECK(!has(page, "Selected channels"));
  for (const char* element : {"svg", "figure", "table", "title", "body", "html", "span", "style"}) {
    CAPTURE(element);
    CHECK(count(page, "<" + std::string(element) + ">") + count(page, "<" + std::string(element) + " ") ==
          count(page, "</" + std::string(element) + ">"));
  }
}

TEST_CASE("report: curves lie in their chart, whatever their values") {
  const double infinite = std::numeric_limits<double>::infinity();
  RunReport report;
  const auto path = [&](std::vector<std::pair<double, double>> points) {
    report.charts = {{"chart", {{"curve", std::move(points)}}}};
    const std::string page = report_page(report);
    CHECK(!has(page, "nan"));
    CHECK(!has(page, "inf"));
    const std::size_t begin = page.find(" d=\"");
    if (begin == std::string::npos) return std::string();
    return page.substr(begin + 4, page.find('"', begin + 4) - begin - 4);
  };
  // The lowest value at the bottom, the highest at the top.
  CHECK(path({{1.0, 2.0}, {2.0, 4.0}, {3.0, 3.0}}) == "M76.0,206.0 L392.0,8.0 L708.0,107.0");
  CHECK(path({{5.0, 0.0}}) == "M392.0,107.0");
  CHECK(path({{1.0, 7.0}, {2.0, 7.0}}) == "M76.0,107.0 L708.0,107.0");
  CHECK(path({{1.0, infinite}, {2.0, std::nan("")}}).empty());
  CHECK(path({{1.0, 1.0}, {2.0, infinite}, {3.0, 2.0}}) == "M76.0,206.0 L708.0,8.0");
  CHECK(path({{1.0, 1e300}, {2.0, -1e300}}) == "M76.0,8.0 L708.0,206.0");
  CHECK(path({}).empty());
  // Of many points no peak is lost.
  std::vector<std::pair<double, double>> many;
  for (int i = 0; i < 100'003; ++i) many.emplace_back(i, i == 70'001 ? 9.0 : i == 20'001 ? -9.0 : 0.0);
  const std::string thinned = path(many);
  CHECK(has(thinned, ",8.0"));
  CHECK(has(thinned, ",206.0"));
  CHECK(std::count(thinned.begin(), thinned.end(), ',') <= 1024);
}

TEST_CASE("report: the map has every selected channel and state of every layer") {
  RunReport report;
  report.selection = {24, 16, {{{1, 23}, {0, 15, 3, 4}}, {{0, 7}, {1, 2, 8, 9}}}};
  const std::string page = report_page(report);
  CHECK(count(page, "class=\"layer\" viewBox=\"0 0 24 16\"") == 2);
  CHECK(count(page, "class=\"chosen\"") == 4);
  CHECK(has(page, "d=\"M23,3h1v1h-1zM23,4h1v1h-1z\"><title>channel 23: states 3, 4</title>"));
  CHECK(has(page, "layer 0: 1(0,15) 23(3,4)\nlayer 1: 0(1,2) 7(8,9)\n"));
}

TEST_CASE("report: a metrics log is read line by line, and a broken line named") {
  const test::Folder folder;
  folder.write("log",
               "{\"step\": 1, \"loss\": 2.5, \"tokens\": 10, \"seconds\": 0.5}\n"
               "{\"step\": 2, \"loss\": null, \"tokens\": 30, \"seconds\": 1.5}\n"
               "{\"step\": 2, \"evaluation_loss\": 1.25, \"evaluation_perplexity\": 3.5}\n");
  const auto metrics = sdlora::examples::read_metrics(folder / "log");
  CHECK(metrics.tokens == 40.0);
  CHECK(metrics.seconds == 2.0);
  REQUIRE(metrics.charts.size() == 3);
  using Points = std::vector<std::pair<double, double>>;
  CHECK(metrics.charts[0].title == "Loss");
  REQUIRE(metrics.charts[0].curves.size() == 2);
  CHECK(metrics.charts[0].curves[0].points == Points{{1.0, 2.5}});
  CHECK(metrics.charts[0].curves[1].points == Points{{2.0, 1.25}});
  CHECK(metrics.charts[2].curves[0].points == Points{{1.0, 20.0}, {2.0, 20.0}});
  folder.write("log", "{\"step\": 1}\n{\"step\"\n");
  test::check_error<sdlora::FileError>([&] { sdlora::examples::read_metrics(folder / "log"); },
                                       {"log", "line 2"});
  folder.write("log", "[1]\n");
  test::check_error<sdlora::FileError>([&] { sdlora::examples::read_metrics(folder / "log"); },
                                       {"line 1", "step"});
  test::check_error<sdlora::FileError>([&] { sdlora::examples::read_metrics(folder / "none"); }, {"none"});
}

TEST_CASE("programs: finetune --report writes a page of all of a run, also of one that was resumed") {
  const Workplace at;
  const Arguments arguments =
      with(at.finetune("sdlora", "out"), {"--eval", at.at("dev.jsonl"), "--report", at.at("run.html")});
  const Result made = run("sdlora finetune", arguments);
  CAPTURE(made.err);
  REQUIRE(made.status == 0);
  CHECK(has(made.err, "report written to " + at.at("run.html")));
  const std::string page = test::content(at / "run.html");
  CHECK(page.starts_with("<!doctype html>"));
  for (const std::string part :
       {"<figcaption>Loss", "<figcaption>Learning rate", "<figcaption>Evaluation", "<figcaption>Throughput",
        "3 of 3", "peak memory", "parameters that learn", "Selected channels", "0 0 24 16"}) {
    CAPTURE(part);
    CHECK(has(page, part));
  }
  const auto setting = [&](const std::string& name, const std::string& value) {
    CAPTURE(name);
    CHECK(has(page, "<th scope=\"row\">" + name + "</th><td>" + value + "</td>"));
  };
  setting("--data", at.at("train.jsonl"));
  setting("--learning-rate", "0.02");
  setting("--clip", "1");
  setting("--rank", "2");
  setting("--channels", "3");
  setting("--keep-best", "false");
  CHECK(!has(page, "--prompt-length"));  // it has no use here
  CHECK(count(page, "class=\"layer\"") == 2);
  CHECK(count(page, "<title>step ") == 3 * 4 + 2);

  // A run that has ended makes no further step: the page is of all that the log holds.
  run_well("sdlora finetune", with(arguments, {"--resume"}));
  const std::string again = test::content(at / "run.html");
  CHECK(count(again, "<title>step ") == 3 * 4 + 2);
  CHECK(names_in(at / "").size() == 8);  // nothing half-written
  // Another run may replace a page.
  Arguments other = arguments;
  other[5] = at.at("other");
  run_well("sdlora finetune", other);
}

TEST_CASE("programs: finetune --report is written where patience ends a run") {
  const Workplace at;
  Arguments arguments = with(at.finetune("bitfit", "out"), {"--eval", at.at("dev.jsonl"), "--patience", "1",
                                                            "--report", at.at("out/run.html")});
  *(std::find(arguments.begin(), arguments.end(), "--learning-rate") + 1) = "1e-30";
  *(std::find(arguments.begin(), arguments.end(), "--steps") + 1) = "100";
  run_well("sdlora finetune", arguments);
  const std::string page = test::content(at / "out/run.html");
  CHECK(has(page, "of 100, ended by --patience"));
  CHECK(has(page, "best evaluation"));
  CHECK(!has(page, "Selected channels"));
}

TEST_CASE("programs: finetune --report replaces no other file, and says so before it trains") {
  const Workplace at;
  at.write("notes.html", "<!doctype html>\n<p>mine\n");
  std::filesystem::create_directories(at / "taken.html");
  const auto refused = [&](const std::string& report, const std::string& part) {
    CAPTURE(report);
    const Result result = run("sdlora finetune", with(at.finetune("bitfit", "out"), {"--report", report}));
    CAPTURE(result.err);
    CHECK(result.status > 0);
    CHECK(has(result.err, part));
    CHECK(!has(result.err, "training 1/3"));
    CHECK(!std::filesystem::exists(at / "out"));
  };
  refused(at.at("notes.html"), "is no report of sdlora");
  refused(at.at("taken.html"), "taken.html: expected a regular file");
  refused(at.at("absent/run.html"), "absent");
  refused(at.at("train.jsonl"), "--report: " + at.at("train.jsonl") + " is another file of this run");
  refused(at.at("out/../out/metrics.jsonl"), "is another file of this run");
  refused("", "--report: expected a path");
  CHECK(test::content(at / "notes.html") == "<!doctype html>\n<p>mine\n");
}
