#pragma once
// How long the parts of an attach and a detach may take, in one place because each must fit into
// the one that waits for it.

#include <chrono>

namespace nbdring {

/// For the driver, to make a device that can be used.
inline constexpr std::chrono::milliseconds attach_wait{60'000};
/// For those who only look at the device: udev's workers, blkid.
inline constexpr std::chrono::milliseconds passing_user_wait{2000};
/// For the driver, to let go of a device.
inline constexpr std::chrono::milliseconds disconnect_wait{10'000};
/// The same, where it is forced and somebody waits for it.
inline constexpr std::chrono::milliseconds forced_disconnect_wait{1500};
/// For a lane, to answer something: one that does not hangs in its backend.
inline constexpr std::chrono::milliseconds stuck_wait{500};
/// For an engine, to open its backend anew behind a device that is used, and for the driver to
/// take the new size.
inline constexpr std::chrono::milliseconds swap_wait{15'000};
inline constexpr std::chrono::milliseconds size_wait{10'000};
inline constexpr std::chrono::milliseconds resize_wait{30'000};
static_assert(resize_wait > swap_wait + size_wait);
/// For two programs, to hand a device from the one to the other.
inline constexpr std::chrono::milliseconds upgrade_wait{60'000};
/// For an engine, to disconnect its device and to end.
inline constexpr std::chrono::milliseconds engine_wait{30'000};
static_assert(engine_wait > 2 * (passing_user_wait + disconnect_wait));

}  // namespace nbdring
