#include <sdlora/error.hpp>
#include <sdlora/tensor/parallel.hpp>

#include "support/sanitized.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

using namespace sdlora;

namespace {

/// Sets the number of threads for one test.
struct Threads {
  explicit Threads(std::size_t count) : before(thread_count()) { set_thread_count(count); }
  ~Threads() { set_thread_count(before); }
  std::size_t before;
};

}  // namespace

TEST_CASE("parallel: every task runs once, for any number of threads") {
  for (const std::size_t threads : {1U, 2U, 3U, 8U}) {
    const Threads set(threads);
    CHECK(thread_count() == threads);
    for (const std::size_t count : {0U, 1U, 2U, 7U, 1000U}) {
      std::vector<std::atomic<int>> runs(count);
      parallel_for(count, [&](std::size_t i) { runs[i].fetch_add(1); });
      for (const auto& n : runs) REQUIRE(n.load() == 1);
    }
  }
}

TEST_CASE("parallel: zero threads count as one") {
  const Threads set(0);
  CHECK(thread_count() == 1);
}

TEST_CASE("parallel: tasks do run on several threads") {
  const Threads set(3);
  std::atomic<int> waiting{0};
  // Each of three tasks waits until all have begun: on fewer threads the time would run out.
  std::atomic<bool> met{true};
  parallel_for(3, [&](std::size_t) {
    ++waiting;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (waiting.load() < 3) {
      if (std::chrono::steady_clock::now() > end) {
        met = false;
        return;
      }
      std::this_thread::yield();
    }
  });
  CHECK(met.load());
}

TEST_CASE("parallel: a loop inside of a task runs in place") {
  for (const std::size_t threads : {1U, 3U}) {
    const Threads set(threads);
    std::vector<std::atomic<int>> runs(12 * 5 * 3);
    std::atomic<bool> in_place{true};
    parallel_for(12, [&](std::size_t i) {
      const std::thread::id here = std::this_thread::get_id();
      parallel_for(5, [&](std::size_t j) {
        if (threads > 1 && std::this_thread::get_id() != here) in_place = false;
        parallel_for(3, [&](std::size_t k) { runs[(i * 5 + j) * 3 + k].fetch_add(1); });
      });
    });
    for (const auto& n : runs) REQUIRE(n.load() == 1);
    CHECK(in_place.load());
  }
}

TEST_CASE("parallel: an exception reaches the caller, and the team goes on") {
  for (const std::size_t threads : {1U, 2U, 3U}) {
    const Threads set(threads);
    for (int round = 0; round < 20; ++round) {
      std::string what;
      try {
        parallel_for(50, [](std::size_t i) {
          if (i == 33) throw std::runtime_error("task 33");
        });
      } catch (const std::runtime_error& error) {
        what = error.what();
      }
      REQUIRE(what == "task 33");
      std::atomic<std::size_t> sum{0};
      parallel_for(100, [&](std::size_t i) { sum += i; });
      REQUIRE(sum.load() == 4950);
    }
  }
}

TEST_CASE("parallel: an exception of a nested loop passes through, and later loops are shared out again") {
  const Threads set(3);
  CHECK_THROWS_AS(parallel_for(4,
                               [](std::size_t) {
                                 parallel_for(4, [](std::size_t j) {
                                   if (j == 2) throw 5;
                                 });
                               }),
                  int);
  std::atomic<std::size_t> sum{0};
  parallel_for(10, [&](std::size_t i) { sum += i; });
  CHECK(sum.load() == 45);
}

TEST_CASE("parallel: of several exceptions that of the lowest task is thrown") {
  for (const std::size_t threads : {1U, 2U, 3U}) {
    const Threads set(threads);
    for (int round = 0; round < 50; ++round) {
      int caught = -1;
      try {
        parallel_for(40, [](std::size_t i) {
          if (i >= 5) throw static_cast<int>(i);
        });
      } catch (const int i) {
        caught = i;
      }
      REQUIRE(caught == 5);
    }
  }
}

TEST_CASE("parallel: loops from several threads at once") {
  const Threads set(3);
  std::vector<std::atomic<int>> runs(4 * 200);
  std::vector<std::thread> callers;
  for (std::size_t c = 0; c < 4; ++c) {
    callers.emplace_back([&runs, c] {
      for (int round = 0; round < 10; ++round) parallel_for(200, [&](std::size_t i) { ++runs[c * 200 + i]; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const auto& n : runs) REQUIRE(n.load() == 10);
}

TEST_CASE("parallel: the number of threads can change between loops") {
  const std::size_t before = thread_count();
  for (std::size_t round = 0; round < 30; ++round) {
    set_thread_count(1 + round % 4);
    std::atomic<std::size_t> sum{0};
    parallel_for(64, [&](std::size_t i) { sum += i; });
    REQUIRE(sum.load() == 2016);
  }
  set_thread_count(before);
}

TEST_CASE("parallel: the number of threads can change beside running loops of another thread") {
  const Threads set(3);
  std::atomic<bool> done{false};
  std::atomic<std::size_t> wrong{0};
  std::thread other([&] {
    while (!done.load()) {
      std::atomic<std::size_t> sum{0};
      parallel_for(64, [&](std::size_t i) { sum += i; });
      if (sum.load() != 2016) ++wrong;
    }
  });
  for (std::size_t round = 0; round < 300; ++round) set_thread_count(1 + round % 4);
  done = true;
  other.join();
  CHECK(wrong.load() == 0);
}

TEST_CASE("parallel: the number of threads cannot change inside of a loop that several run") {
  const Threads set(2);
  CHECK_THROWS_AS(parallel_for(4, [](std::size_t) { set_thread_count(3); }), ArgumentError);
  CHECK(thread_count() == 2);
}

#if defined(__linux__) && !defined(SDLORA_TEST_SANITIZED)
TEST_CASE("parallel: where the system refuses threads, loops run on those there are") {
  const Threads set(1);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  // No memory for a thread's stack, and memory for some.
  for (const rlim_t limit : {rlim_t{1}, rlim_t{pages * 4096 + (rlim_t{40} << 20)}}) {
    rlimit little = before;
    little.rlim_cur = limit;
    REQUIRE(setrlimit(RLIMIT_AS, &little) == 0);
    set_thread_count(200);
    const std::size_t found = thread_count();
    std::atomic<std::size_t> sum{0};
    parallel_for(100, [&](std::size_t i) { sum += i; });
    REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
    CHECK(found < 200);
    CHECK(sum.load() == 4950);
  }
  set_thread_count(4);
  CHECK(thread_count() == 4);
}
#endif

#if defined(__unix__) || defined(__APPLE__)
TEST_CASE("parallel: the child of a fork runs loops in place, and ends") {
  const Threads set(3);
  parallel_for(10, [](std::size_t) {});
  // Another thread is in a loop, and holds what belongs to it, when the child begins.
  std::atomic<bool> begun{false}, forked{false};
  std::thread other([&] {
    parallel_for(2, [&](std::size_t) {
      begun = true;
      while (!forked.load()) std::this_thread::yield();
    });
  });
  while (!begun.load()) std::this_thread::yield();
  std::fflush(nullptr);
  std::cout.flush();
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // ends a child that waits
    std::size_t sum = 0;
    parallel_for(100, [&](std::size_t i) { sum += i; });
    set_thread_count(4);
    const int wrong = sum == 4950 && thread_count() == 1 ? 0 : 1;
#if defined(SDLORA_TEST_SANITIZED)
    std::_Exit(wrong);  // its search for leaks waits for the parent's threads
#else
    std::exit(wrong);
#endif
  }
  forked = true;
  other.join();
  REQUIRE(child > 0);
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
#endif
