#pragma once

#include "../error.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace sdlora {

namespace detail {

/// A fixed team of threads that share out numbered tasks. One job at a time; a task that itself
/// calls parallel_for runs its tasks in place.
class ThreadTeam {
 public:
  static ThreadTeam& instance() {
    static ThreadTeam team;
    return team;
  }

  ~ThreadTeam() {
    if (forked()) return;
    stop();
    delete threads_;
  }
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  std::size_t size() const { return forked() ? 1 : others_.load(std::memory_order_relaxed) + 1; }

  void resize(std::size_t count) {
    if (forked()) return;
    if (inside_) {
      throw ArgumentError(
          "set_thread_count: called by a task of a parallel loop, on threads that it would have to stop; "
          "call "
          "it before or after the loop");
    }
    const std::lock_guard exclusive(one_job_);
    stop();
    start(count);
  }

  using Task = void (*)(const void* context, std::size_t index);

  void run(std::size_t count, Task task, const void* context) {
    if (count > 1 && !inside_ && others_.load(std::memory_order_relaxed) != 0 && !forked()) {
      const std::lock_guard exclusive(one_job_);
      // There may be no others any more.
      if (!threads_->empty()) return share_out(count, task, context);
    }
    for (std::size_t i = 0; i < count; ++i) task(context, i);
  }

 private:
  ThreadTeam() {
#if defined(__unix__) || defined(__APPLE__)
    static_cast<void>(
        pthread_atfork(nullptr, nullptr, [] { forked_.store(true, std::memory_order_relaxed); }));
#endif
    start(std::max(1U, std::thread::hardware_concurrency()));
  }

  /// Whether this is the child of a fork(): it has none of the threads, and may find the lock taken for ever.
  static bool forked() { return forked_.load(std::memory_order_relaxed); }

  /// One thread more, or false where the system refuses it.
  bool add(std::uint64_t now) {
    try {
      threads_->push_back(std::thread([this, now] { work(now); }));
      return true;
    } catch (const std::system_error&) {
      return false;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  void start(std::size_t count) {
    stopping_.store(false, std::memory_order_relaxed);
    const std::uint64_t now = generation_.load(std::memory_order_relaxed);
    while (threads_->size() + 1 < count && add(now)) {
    }
    others_.store(threads_->size(), std::memory_order_relaxed);
  }

  void stop() {
    others_.store(0, std::memory_order_relaxed);
    stopping_.store(true, std::memory_order_relaxed);
    begin();
    for (auto& thread : *threads_) thread.join();
    threads_->clear();
  }

  void share_out(std::size_t count, Task task, const void* context) {
    task_ = task;
    context_ = context;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(threads_->size(), std::memory_order_relaxed);
    error_ = nullptr;
    begin();
    drain();
    await([this] { return busy_.load(std::memory_order_acquire) == 0; },
          [this] {
            if (const std::size_t busy = busy_.load(std::memory_order_acquire); busy != 0) busy_.wait(busy);
          });
    if (error_) std::rethrow_exception(error_);
  }

  /// Lets the threads see what has been set before.
  void begin() {
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  }

  /// Looks for a while before it sleeps: loops follow each other closely, and waking a thread takes as
  /// long as many of them. 2000 looks took 26 µs where it was measured.
  template <class Done, class Sleep>
  static void await(const Done& done, const Sleep& sleep) {
    for (int i = 0; i < 2000; ++i) {
      if (done()) return;
      relax();
    }
    while (!done()) sleep();
  }

  static void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  void drain() {
    inside_ = true;
    for (;;) {
      const std::size_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= count_) break;
      try {
        task_(context_, i);
      } catch (...) {
        // Of several, that of the lowest task: the one that a single thread would meet first.
        const std::lock_guard lock(error_mutex_);
        if (!error_ || i < failed_) {
          error_ = std::current_exception();
          failed_ = i;
        }
      }
    }
    inside_ = false;
  }

  void work(std::uint64_t seen) {
    for (;;) {
      await([&] { return generation_.load(std::memory_order_acquire) != seen; },
            [&] { generation_.wait(seen, std::memory_order_acquire); });
      if (stopping_.load(std::memory_order_relaxed)) return;
      // The next job cannot begin before this thread has taken part in this one.
      ++seen;
      drain();
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
    }
  }

  inline static thread_local bool inside_ = false;

  inline static std::atomic<bool> forked_{false};

  // Not a member: in the child of a fork it must not be destroyed, since its threads cannot be joined there.
  std::vector<std::thread>* threads_ = new std::vector<std::thread>;
  std::atomic<std::size_t> others_{0};
  std::mutex one_job_;
  std::mutex error_mutex_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<std::size_t> next_{0};
  std::atomic<std::size_t> busy_{0};
  std::atomic<bool> stopping_{false};
  Task task_ = nullptr;
  const void* context_ = nullptr;
  std::size_t count_ = 0;
  std::exception_ptr error_;
  std::size_t failed_ = 0;
};

}  // namespace detail

/// The number of threads that parallel loops use; at first one per processor, or as many as the system gave.
/// 1 in the child of a fork(), where all loops run in place.
inline std::size_t thread_count() { return detail::ThreadTeam::instance().size(); }

/// Sets the number of threads (0 counts as 1), after the loop that runs. Where the system refuses some, loops
/// run on those there are, which `thread_count` tells. Throws ArgumentError inside of a loop that is shared
/// out.
inline void set_thread_count(std::size_t count) {
  detail::ThreadTeam::instance().resize(std::max<std::size_t>(1, count));
}

/// Runs f(0) … f(count − 1), each once, on the thread team, and returns when all are done.
/// Which thread runs a task is open, so tasks must be cut by the shape of the work, never by the
/// number of threads: then results are the same for any number of threads. Allocates nothing.
/// An exception of a task is thrown on to the caller; of several, that of the lowest task.
template <class Function>
void parallel_for(std::size_t count, const Function& f) {
  detail::ThreadTeam::instance().run(
      count, [](const void* context, std::size_t i) { (*static_cast<const Function*>(context))(i); }, &f);
}

}  // namespace sdlora
