#include <doctest/doctest.h>

#include <sdlora/training/progress.hpp>

#include <algorithm>
#include <iostream>
#include <sstream>
#include <string>

using namespace sdlora;

TEST_CASE("durations") {
  CHECK(duration_text(0.2) == "0 s");
  CHECK(duration_text(59.4) == "59 s");
  CHECK(duration_text(59.6) == "1:00");
  CHECK(duration_text(185.0) == "3:05");
  CHECK(duration_text(7209.0) == "2:00:09");
  CHECK(duration_text(-1.0) == "0 s");
}

TEST_CASE("plain lines every few seconds where there is no terminal") {
  std::ostringstream out;
  Progress progress(out, "training", 100, 0);
  for (std::size_t step = 1; step <= 100; ++step)
    progress.update(step, 2.0, 50, 0.2 * static_cast<double>(step));
  const std::string text = out.str();
  CHECK(text.starts_with("training 1/100  loss 2.0000  250 tokens/s  20 s left\n"));
  CHECK(text.find("training 26/100  loss 2.0000  250 tokens/s  15 s left\n") != std::string::npos);
  CHECK(text.ends_with("training 100/100  loss 2.0000  250 tokens/s  20 s in all\n"));
  CHECK(std::count(text.begin(), text.end(), '\n') == 5);
  CHECK(text.find('\r') == std::string::npos);
}

TEST_CASE("one line that is drawn again on a terminal") {
  std::ostringstream out;
  Progress progress(out, "training", 4, 0, true);
  progress.update(1, 1.0, 10, 1.0);
  progress.update(2, 1.0, 10, 1.01);  // too soon
  progress.note("between");
  progress.update(3, 1.0, 10, 3.0);
  progress.update(4, 1.0, 10, 4.0);
  const std::string text = out.str();
  CHECK(text.starts_with("\rtraining [#####...............] 1/4  loss 1.0000  10 tokens/s  3 s left\r"));
  CHECK(text.find(" 2/4") == std::string::npos);
  CHECK(text.find("\rbetween\n\rtraining [###############.....] 3/4") != std::string::npos);
  CHECK(text.ends_with("[####################] 4/4  loss 1.0000  10 tokens/s  4 s in all\n"));
}

TEST_CASE("the loss is smoothed; a resumed run reckons with its own pace") {
  std::ostringstream out;
  Progress progress(out, "t", 1000, 900, false);
  progress.update(901, 2.0, 10, 1.0);
  CHECK(out.str() == "t 901/1000  loss 2.0000  10 tokens/s  1:39 left\n");
  out.str("");
  progress.update(910, 4.0, 10, 10.0);
  CHECK(out.str().starts_with("t 910/1000  loss 2.1000"));
  CHECK(out.str().find("1:30 left") != std::string::npos);
}

TEST_CASE("only standard streams can be terminals") {
  std::ostringstream out;
  CHECK_FALSE(is_terminal(out));
  const Stopwatch watch;
  const double first = watch.seconds();
  CHECK(first >= 0.0);
  CHECK(watch.seconds() >= first);
}
