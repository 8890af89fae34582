#pragma once
// Whether this processor copies badly a few bytes ahead of a page. AMD's Zen 3, and some after it,
// run `rep movsb`, which is the kernel's copy, at a fraction of their speed (a 28th, measured on
// one) when the destination lies 1 to 31 bytes further into its page than the source
// (glibc bug 30994). malloc puts every large buffer 16 bytes into a page, and lent pages begin
// where pages begin: such a client would spend two to three times as long on receiving as we save.
//
// The driver's pages are aligned, as are those of whoever reads past the page cache; of other
// clients nobody knows. So only the driver's lanes lend on such a processor.

namespace nbdring {

/// Measured once, in less than a millisecond; then remembered. Any thread.
bool copies_badly() noexcept;

}  // namespace nbdring
