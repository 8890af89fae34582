#pragma once
// READ replies whose payload a backend lends (client/engine/page_lender.hpp) or passes on
// (client/engine/arrival_pipe.hpp): header and payload in one pipe, in the order in which they are
// pushed to the ReplyQueue, so that one splice sends all that is there. A header in the pipe costs
// a page; one sent apart would wake the peer twice.
//
// Belongs to a lane, for its pipe holds what no one else may send. Nothing of a reply is left in it
// when the reply is sent, so a lane at a request boundary leaves nothing behind. Replies that do
// not fit, and whatever cannot be lent, are copied: where the kernel gives no pipe, or a small one
// (pipe-user-pages-soft), all are.

#include <cstddef>
#include <cstdint>

#include "client/engine/arrival_pipe.hpp"
#include "client/engine/page_lender.hpp"
#include "client/protocol/reply.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

class ReplyPipe {
 public:
  /// Payloads of fewer bytes are cheaper to copy: see bench/README.md.
  static constexpr std::size_t smallest = 32 * 1024;

  /// Makes it ready; until then, and where that fails, nothing fits.
  void open() noexcept;

  /// Puts the whole reply into the pipe, or nothing that would be sent: then it is to be copied.
  bool put(const ReplyHeader& header, PageLender& lender, std::uint64_t offset,
           std::size_t length) noexcept;
  /// Puts the header and as much of the payload as fits behind it. How many bytes of both, or 0:
  /// what is not in the pipe is to be copied.
  std::size_t put_arrived(const ReplyHeader& header, ArrivalPipe& payload) noexcept;
  /// So many bytes were taken out.
  void taken(std::size_t bytes) noexcept;
  /// A reply is out to its last byte, of which that much payload was in the pipe.
  void emptied(std::size_t length) noexcept;

  int outlet() const { return outlet_.get(); }

 private:
  static std::size_t pages_for(std::size_t length);
  bool put_header(const ReplyHeader& header) noexcept;
  void drop_rest() noexcept;

  FileDescriptor outlet_;
  FileDescriptor inlet_;
  std::size_t pages_ = 0;     // that the pipe takes
  std::size_t used_ = 0;      // of them, about, by replies that are not out
  std::size_t bytes_ = 0;     // of these replies
  bool holds_scrap_ = false;  // behind them lies what was begun and given up
};

}  // namespace nbdring
