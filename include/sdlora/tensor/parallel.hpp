#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

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

  ~ThreadTeam() { stop(); }
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  std::size_t size() const { return threads_.size() + 1; }

  void resize(std::size_t count) {
    stop();
    stopping_ = false;
    for (std::size_t i = 1; i < count; ++i) threads_.emplace_back([this, seen = generation_] { work(seen); });
  }

  using Task = void (*)(const void* context, std::size_t index);

  void run(std::size_t count, Task task, const void* context) {
    if (count == 0) return;
    if (count == 1 || threads_.empty() || inside_) {
      for (std::size_t i = 0; i < count; ++i) task(context, i);
      return;
    }
    const std::lock_guard exclusive(one_job_);
    {
      const std::lock_guard lock(mutex_);
      task_ = task;
      context_ = context;
      count_ = count;
      next_.store(0, std::memory_order_relaxed);
      busy_ = threads_.size();
      error_ = nullptr;
      ++generation_;
    }
    wake_.notify_all();
    drain();
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [this] { return busy_ == 0; });
    if (error_) std::rethrow_exception(error_);
  }

 private:
  ThreadTeam() { resize(std::max(1U, std::thread::hardware_concurrency())); }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
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
        const std::lock_guard lock(mutex_);
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
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
        if (stopping_) return;
        seen = generation_;
      }
      drain();
      {
        const std::lock_guard lock(mutex_);
        --busy_;
      }
      finished_.notify_one();
    }
  }

  inline static thread_local bool inside_ = false;

  std::vector<std::thread> threads_;
  std::mutex one_job_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable finished_;
  std::atomic<std::size_t> next_{0};
  Task task_ = nullptr;
  const void* context_ = nullptr;
  std::size_t count_ = 0;
  std::size_t busy_ = 0;
  std::uint64_t generation_ = 0;
  std::exception_ptr error_;
  std::size_t failed_ = 0;
  bool stopping_ = false;
};

}  // namespace detail

/// The number of threads that parallel loops use; at first one per processor.
inline std::size_t thread_count() { return detail::ThreadTeam::instance().size(); }

/// Sets the number of threads (0 counts as 1). Not to be called from inside a parallel loop.
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
