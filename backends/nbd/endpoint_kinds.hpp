#pragma once
// The endpoints behind make_endpoint(), one function each, and what they share. For endpoint*.cpp
// and their tests.

#include "backends/nbd/endpoint.hpp"
#include "client/runtime/process.hpp"
#include "client/transport/resolve.hpp"

namespace nbdring {

/// lookup: another than the system's only in tests.
std::unique_ptr<Endpoint> make_tcp_endpoint(const Uri& uri, Log& log, Lookup lookup = look_up);
std::unique_ptr<Endpoint> make_unix_endpoint(const Uri& uri, Log& log);
std::unique_ptr<Endpoint> make_vsock_endpoint(const Uri& uri);
std::unique_ptr<Endpoint> make_ssh_endpoint(const Uri& uri);
std::unique_ptr<Endpoint> make_command_endpoint(const Uri& uri);  // nbd+ext
std::unique_ptr<Endpoint> make_exec_endpoint(const ExecSpec& spec);

/// A connected socket as what connect() returns.
std::unique_ptr<Stream> stream_over(Loop& loop, FileDescriptor socket);

/// Throws the Failure "cannot reach ENDPOINT: WHY".
[[noreturn]] void fail_unreachable(const std::string& endpoint, const std::string& why);

/// "connection refused": an errno's words inside a sentence.
std::string words_of(int error);

/// The engine leaves the folder that it was started in; what is relative is relative to that one.
/// Empty where there is none.
std::string current_folder();

/// Waits until the server has spoken: in NBD it is the first to. 0, or an errno: ETIMEDOUT at the
/// deadline, ECONNRESET where the connection ended before the first byte.
Task<int> wait_first_byte(Loop& loop, int socket, Clock::time_point deadline);

/// The child's last words, or else the errno's, of a wait_first_byte() that has failed.
std::string why_silent(const Process& child, int error);

/// Waits until the child has ended, so that its last words are there, but not for long.
Task<void> wait_last_words(Loop& loop, const Process& process);

}  // namespace nbdring
