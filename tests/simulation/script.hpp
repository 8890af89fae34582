#pragma once
// What a simulated client asks for: right requests, and requests that break exactly one rule, with
// the answer that the protocol document demands for it.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "client/protocol/export.hpp"
#include "client/protocol/request.hpp"
#include "tests/simulation/oracle.hpp"
#include "tests/support/client_side.hpp"
#include "tests/support/random.hpp"

namespace nbdring {

struct PlannedRequest {
  ClientRequest request;
  std::vector<std::byte> payload;
  std::uint32_t error = 0;    // what a server must answer; 0: what the backend says
  std::uint64_t number = 0;   // the pattern that the range has afterwards
  bool is_change = false;     // WRITE, TRIM, WRITE_ZEROES that is not refused
  std::uint64_t sent_at = 0;  // event

  bool is_valid() const { return error == 0; }
};

class Script {
 public:
  Script(Random& random, const Export& about, const TransmissionOptions& transmission,
         const Oracle& oracle, unsigned invalid_percent)
      : random_(random),
        about_(about),
        transmission_(transmission),
        oracle_(oracle),
        invalid_percent_(invalid_percent) {}

  /// number: for the pattern of a WRITE; cookie: of the request.
  PlannedRequest next(std::uint64_t cookie, std::uint64_t number);

 private:
  struct Range {
    std::uint64_t offset;
    std::uint32_t length;
  };

  PlannedRequest valid();
  PlannedRequest invalid();
  PlannedRequest beyond_end();
  PlannedRequest too_long();
  PlannedRequest unaligned();
  PlannedRequest wrong_flags();
  PlannedRequest unknown_command();
  PlannedRequest not_offered();

  Range range(std::uint32_t longest);
  Range idle_range(std::uint32_t longest);
  std::uint16_t ranged_command();
  bool is_refused_for_writing(std::uint16_t command) const;

  Random& random_;
  const Export& about_;
  const TransmissionOptions& transmission_;
  const Oracle& oracle_;
  unsigned invalid_percent_;
};

}  // namespace nbdring
