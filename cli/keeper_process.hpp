#pragma once
// The keeper's inside: see keeper.hpp. keeper_process.cpp has its life, keeper_upgrade.cpp what
// happens in it during an upgrade. One thread.

#include <chrono>
#include <optional>
#include <string>

#include "cli/keeper.hpp"
#include "cli/keeper_child.hpp"
#include "cli/signals.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

class DeviceKeeper {
 public:
  /// announcer: null where it has spoken.
  DeviceKeeper(const EngineWork& work, KeeperState state, Announcer* announcer, Log& log);

  /// Forks the first engine.
  void begin();
  /// Takes over an engine of another keeper.
  void go_on_with(int engine, FileDescriptor channel);
  /// To the device's end; the exit code.
  int run();

 private:
  using Clock = Deadline::Clock;

  Deadline next_look() const;
  void wait();
  void take_signals();
  void take_messages(KeeperChild& from);
  void take(ChannelMessage message);
  void take_of_device(ChannelMessage message);
  void announce(const std::string& text);
  void note_failure(const std::string& text);

  void start_engine();
  void become_engine(EngineLink::Start start);
  void engine_ended();
  void end_with_engine(const std::optional<int>& status);
  void note_stall(const std::string& cause);
  void restart_later(const std::string& cause);
  void end_without_engine();
  void finish(int exit_code);

  void attend_pings();
  void feed_watchdog();

  // An upgrade:
  void start_candidate(const std::string& program);
  void take_of_candidate(ChannelMessage message);
  void hand_over(ChannelMessage message);
  void attend_candidate();
  void candidate_failed(const std::string& why);
  void candidate_serves();
  void attend_departing();

  const EngineWork& work_;
  KeeperState state_;
  Announcer* announcer_;
  Log& log_;
  TerminationSignals signals_;

  KeeperChild engine_;
  std::optional<FormerEngine> former_;  // for the next engine
  std::optional<Failure> failure_;      // the engine's last word
  Clock::time_point restart_at_{};      // while there is no engine
  std::chrono::milliseconds restart_pause_{0};
  bool over_ = false;       // no other engine is wanted
  bool end_asked_ = false;  // by a signal
  bool done_ = false;
  int exit_code_ = 0;

  std::string last_line_;  // of the log, about an engine that died
  Clock::time_point last_line_at_{};
  std::chrono::milliseconds watchdog_;  // systemd's interval; 0: none
  Clock::time_point next_watchdog_{};

  KeeperChild candidate_;       // the engine to come
  KeeperChild departing_;       // the engine that was
  KeeperState new_state_;       // once the candidate serves
  std::string program_;         // the candidate's
  std::string candidate_word_;  // its failure's text
  bool is_introduced_ = false;  // the candidate is an nbdring
  bool has_sockets_ = false;    // the candidate was given the connections,
  bool has_begun_ = false;      // and may have read from them
  bool has_moved_ = false;      // the candidate is the engine; the keeper is to follow
  Clock::time_point candidate_until_{};
};

}  // namespace nbdring
