#include "cli/gateway_dialer.hpp"

#include <utility>

#include "backends/nbd/shape_rules.hpp"

namespace nbdring {

SourceDialer::SourceDialer(SessionSource& source, const std::string& text, Log& log)
    : source_(source), dialer_(source.endpoint(), text, "", TlsSettings(), DialOptions(), log) {}

// One that cannot be used shall not come back by itself: until the first handshake has ended well
// that is what the end of its connection says.
Task<Dialled> SourceDialer::dial(Loop& loop) const {
  if (!has_opened_) {
    source_.set_farewell(
        {Farewell::failed, "failed: what it serves cannot be used; the log has the reason"});
  }
  auto dialled = co_await dialer_.dial(loop);
  if (!has_opened_) {
    presented(dialled.about);
    source_.set_farewell({Farewell::not_needed, "not needed any more"});
    has_opened_ = true;
  }
  if (!dialled.about.has(nbd::flag_can_multi_conn)) source_.set_single();
  co_return std::move(dialled);
}

}  // namespace nbdring
